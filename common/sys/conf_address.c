/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of a configuration: {{ }} templates, the advertised address, tagged addresses, and what
 * would be listened on twice. Of go-sockaddr's template language two calls are understood,
 * GetPrivateIP and GetInterfaceIP "name"; others are refused.
 */
#include "common/sys/conf_private.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "common/base/err.h"

enum { ADDRESSES_MAX = 32 };

static bool ip_valid(struct str s, int *family_out)
{
	char text[INET6_ADDRSTRLEN + 1], bytes[16];

	if (s.n == 0 || s.n > INET6_ADDRSTRLEN) {
		return false;
	}
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	*family_out = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(*family_out, text, bytes) == 1;
}

static bool is_any(struct str ip)
{
	return str_is(ip, "0.0.0.0") || str_is(ip, "::") || str_is(ip, "[::]");
}

/* Ranges that are not routed in public, as Consul counts them. */
static bool is_private_ipv4(const struct sockaddr_in *sin)
{
	static const struct {
		uint32_t net;
		int bits;
	} blocks[] = { { 0x0a000000, 8 }, { 0x64400000, 10 }, { 0x7f000000, 8 }, { 0xa9fe0000, 16 },
		{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0a80000, 16 },
		{ 0xc6120000, 15 }, { 0xc6336400, 24 }, { 0xcb007100, 24 } };
	uint32_t ip = ntohl(sin->sin_addr.s_addr);

	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		if ((ip ^ blocks[i].net) >> (32 - blocks[i].bits) == 0) {
			return true;
		}
	}
	return false;
}

/* Private IPv4 addresses of interfaces that are up; those of loopback only if there is no other. */
static unsigned private_ipv4(char first_out[INET_ADDRSTRLEN], bool loopback)
{
	struct ifaddrs *all = NULL;
	unsigned count = 0;

	if (getifaddrs(&all)) {
		return 0;
	}
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)i->ifa_addr;

		if (!sin || sin->sin_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
			!(i->ifa_flags & IFF_LOOPBACK) == loopback || !is_private_ipv4(sin)) {
			continue;
		}
		if (count++ == 0) {
			inet_ntop(AF_INET, &sin->sin_addr, first_out, INET_ADDRSTRLEN);
		}
	}
	freeifaddrs(all);
	return count == 0 && !loopback ? private_ipv4(first_out, true) : count;
}

/* What is found instead where there are no interfaces. */
static const char offline_ip[] = "127.0.0.1";

static unsigned private_ip(const struct conf_builder *b, char first_out[INET_ADDRSTRLEN])
{
	if (b->offline) {
		memcpy(first_out, offline_ip, sizeof(offline_ip));
		return 1;
	}
	return private_ipv4(first_out, false);
}

static bool interface_ip(struct str name, char out[INET6_ADDRSTRLEN])
{
	struct ifaddrs *all = NULL;
	bool found = false;

	if (getifaddrs(&all)) {
		return false;
	}
	for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && str_is(name, i->ifa_name)) {
			const struct sockaddr_in *sin = (const struct sockaddr_in *)i->ifa_addr;

			inet_ntop(AF_INET, &sin->sin_addr, out, INET6_ADDRSTRLEN);
			found = true;
		}
	}
	freeifaddrs(all);
	return found;
}

/* Replaces the one template that fills the whole value. Values without one stay. */
static int template_expand(struct conf_builder *b, const char *path, struct str *value)
{
	struct str call = str_trim(*value), name;
	char ip[INET6_ADDRSTRLEN];

	*value = call;
	if (!str_starts(call, STR("{{"))) {
		return 0;
	}
	if (!str_ends(call, STR("}}"))) {
		return conf_refuse(b, path, "%s: unable to parse address template \"" STR_FMT "\"",
			path, STR_ARG(*value));
	}
	call = str_trim(str_cut(str_skip(call, 2), call.n - 4));
	if (str_is(call, "GetPrivateIP")) {
		if (private_ip(b, ip) == 0) {
			return conf_refuse(b, path, "No private IPv4 address found");
		}
	} else if (str_starts(call, STR("GetInterfaceIP "))) {
		name = str_trim(str_skip(call, strlen("GetInterfaceIP ")));
		if (name.n >= 2 && (name.p[0] == '"' || name.p[0] == '`') &&
			name.p[name.n - 1] == name.p[0]) {
			name = str_cut(str_skip(name, 1), name.n - 2);
		}
		if (b->offline) {
			memcpy(ip, offline_ip, sizeof(offline_ip));
		} else if (!interface_ip(name, ip)) {
			return conf_refuse(b, path,
				"%s: interface \"" STR_FMT "\" has no IPv4 address", path,
				STR_ARG(name));
		}
	} else {
		return conf_refuse(b, path,
			"%s: the address template \"" STR_FMT "\" is not supported: only "
			"GetPrivateIP and GetInterfaceIP are",
			path, STR_ARG(call));
	}
	*value = arena_str(&b->c->arena, str_of(ip));
	return 0;
}

/* A value that may hold several addresses; unix:///path where it is allowed. */
static void list_check(struct conf_builder *b, const char *path, struct str list, bool unix_allowed)
{
	struct str rest = list;

	while (rest.p) {
		struct str one = str_split(rest, ' ', &rest);
		int family;

		if (one.n == 0) {
			continue;
		}
		if (str_starts(one, STR("unix://"))) {
			if (!unix_allowed) {
				conf_fault(b, &b->faults, "%s cannot be a unix socket", path);
			}
		} else if (!ip_valid(one, &family)) {
			conf_fault(b, &b->faults, "%s: invalid ip address: " STR_FMT, path,
				STR_ARG(one));
		}
	}
}

static int single_check(struct conf_builder *b, const char *path, struct str *value)
{
	int family, r = template_expand(b, path, value);

	if (r) {
		return r;
	}
	if (str_find(*value, ' ') >= 0) {
		return conf_refuse(b, path,
			"%s cannot contain multiple addresses. Use 'addresses.{dns,http,https}' "
			"instead.",
			path);
	}
	if (str_starts(*value, STR("unix://"))) {
		conf_fault(b, &b->faults, "%s cannot be a unix socket", path);
	} else if (value->n && !ip_valid(*value, &family)) {
		conf_fault(
			b, &b->faults, "%s: invalid ip address: " STR_FMT, path, STR_ARG(*value));
	}
	return 0;
}

static int advertise_fill(struct conf_builder *b)
{
	struct conf *c = b->c;
	char ip[INET_ADDRSTRLEN];
	unsigned count;

	if (c->advertise_addr.n == 0 && !is_any(c->bind_addr)) {
		c->advertise_addr = c->bind_addr;
	} else if (c->advertise_addr.n == 0 && str_is(c->bind_addr, "0.0.0.0")) {
		count = private_ip(b, ip);
		if (count == 0) {
			return conf_refuse(b, "bind_addr", "No private IPv4 address found");
		}
		if (count > 1) {
			return conf_refuse(b, "bind_addr",
				"Multiple private IPv4 addresses found. Please configure one "
				"with 'bind' and/or 'advertise'.");
		}
		c->advertise_addr = arena_str(&c->arena, str_of(ip));
	} else if (c->advertise_addr.n == 0) {
		return conf_refuse(b, "bind_addr", "No public IPv6 address found");
	}
	if (is_any(c->advertise_addr) || is_any(c->advertise_addr_wan)) {
		return conf_refuse(
			b, "advertise_addr", "Advertise address cannot be 0.0.0.0, :: or [::]");
	}
	if (c->advertise_addr_wan.n == 0) {
		c->advertise_addr_wan = c->advertise_addr;
	}
	return 0;
}

/* Those that are advertised as the addresses of one family, of which there may be none. */
static int family_check(struct conf_builder *b, const char *path, struct str *value, int wanted)
{
	int family = wanted, r = single_check(b, path, value);

	if (!r && value->n && ip_valid(*value, &family) && family != wanted) {
		r = conf_refuse(b, path, "%s must be an %s address", path,
			wanted == AF_INET6 ? "ipv6" : "ipv4");
	}
	return r;
}

static int families_check(struct conf_builder *b)
{
	const struct {
		const char *path;
		struct str *value;
		int family;
	} rows[] = { { "advertise_addr_ipv4", &b->c->advertise_addr_ipv4, AF_INET },
		{ "advertise_addr_ipv6", &b->c->advertise_addr_ipv6, AF_INET6 },
		{ "advertise_addr_wan_ipv4", &b->c->advertise_addr_wan_ipv4, AF_INET },
		{ "advertise_addr_wan_ipv6", &b->c->advertise_addr_wan_ipv6, AF_INET6 } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows) && !r; i++) {
		r = family_check(b, rows[i].path, rows[i].value, rows[i].family);
	}
	return r;
}

/* What the address in use is, where nothing else is set for its family. */
static void families_fill(struct str address, struct str *ipv4, struct str *ipv6)
{
	int family = AF_INET;
	struct str *own;

	ip_valid(address, &family);
	own = family == AF_INET6 ? ipv6 : ipv4;
	*own = own->n ? *own : address;
}

static void pairs_drop(struct pairs *p, const char *key)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < p->count; i++) {
		if (!str_is(p->items[i].key, key)) {
			p->items[kept++] = p->items[i];
		}
	}
	p->count = kept;
}

/* What the configuration sets under other names, and what follows from what is advertised. */
static void tagged_addresses_fill(struct conf *c)
{
	const struct {
		const char *name;
		const struct str *value;
	} rows[] = { { "lan", &c->advertise_addr }, { "lan_ipv4", &c->advertise_addr_ipv4 },
		{ "lan_ipv6", &c->advertise_addr_ipv6 }, { "wan", &c->advertise_addr_wan },
		{ "wan_ipv4", &c->advertise_addr_wan_ipv4 },
		{ "wan_ipv6", &c->advertise_addr_wan_ipv6 } };
	uint32_t room = c->tagged_addresses.count + (uint32_t)ARRAY_SIZE(rows);
	struct pairs all = { arena_array(&c->arena, struct pair, room), 0, true };

	families_fill(c->advertise_addr, &c->advertise_addr_ipv4, &c->advertise_addr_ipv6);
	families_fill(
		c->advertise_addr_wan, &c->advertise_addr_wan_ipv4, &c->advertise_addr_wan_ipv6);
	if (!c->advertise_addr_wan_ipv6.n) {
		c->advertise_addr_wan_ipv6 = c->advertise_addr_ipv6;
	}
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pairs_drop(&c->tagged_addresses, rows[i].name);
		if (rows[i].value->n) {
			all.items[all.count++] =
				(struct pair) { str_of(rows[i].name), *rows[i].value };
		}
	}
	for (uint32_t i = 0; i < c->tagged_addresses.count; i++) {
		all.items[all.count++] = c->tagged_addresses.items[i];
	}
	pairs_sort(&all);
	c->tagged_addresses = all;
}

int conf_addresses_fill(struct conf_builder *b)
{
	struct conf *c = b->c;
	struct {
		const char *path;
		struct str *value;
	} single[] = { { "bind_addr", &c->bind_addr }, { "advertise_addr", &c->advertise_addr },
		{ "advertise_addr_wan", &c->advertise_addr_wan }, { "serf_lan", &c->serf_lan_bind },
		{ "serf_wan", &c->serf_wan_bind } },
	  several[] = { { "client_addr", &c->client_addr }, { "addresses.dns", &c->addresses.dns },
		  { "addresses.http", &c->addresses.http },
		  { "addresses.https", &c->addresses.https } };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(single) && r == 0; i++) {
		r = single_check(b, single[i].path, single[i].value);
	}
	for (size_t i = 0; i < ARRAY_SIZE(several) && r == 0; i++) {
		r = template_expand(b, several[i].path, several[i].value);
		if (r == 0 && i == 1 && str_starts(*several[i].value, STR("unix://"))) {
			return conf_refuse(
				b, several[i].path, "DNS address cannot be a unix socket");
		}
		list_check(b, several[i].path, *several[i].value, i > 0);
	}
	r = r ? r : families_check(b);
	if (r || b->faults.count) {
		return r;
	}
	if (c->bind_addr.n == 0) {
		return conf_refuse(b, "bind_addr", "bind_addr cannot be empty");
	}
	for (size_t i = 1; i < ARRAY_SIZE(several); i++) {
		if (several[i].value->n == 0) {
			*several[i].value = c->client_addr;
		}
	}
	c->serf_lan_bind = c->serf_lan_bind.n ? c->serf_lan_bind : c->bind_addr;
	c->serf_wan_bind = c->serf_wan_bind.n ? c->serf_wan_bind : c->bind_addr;
	r = advertise_fill(b);
	if (r == 0) {
		tagged_addresses_fill(c);
	}
	return r;
}

/* ---- what is listened on twice ---- */

struct in_use {
	struct {
		struct str address; /* "127.0.0.1:8500" */
		const char *by;
	} rows[ADDRESSES_MAX];
	size_t count;
};

/* One kind of listener: what messages call it, the key of its port, where. */
struct listener {
	const char *by, *path;
	struct str addresses;
	int64_t port;
	bool on;
};

static int use(struct conf_builder *b, struct in_use *used, const struct listener *l, struct str ip)
{
	struct str address = str_find(ip, ':') >= 0
				     ? arena_printf(&b->c->arena, "[" STR_FMT "]:%lld", STR_ARG(ip),
					       (long long)l->port)
				     : arena_printf(&b->c->arena, STR_FMT ":%lld", STR_ARG(ip),
					       (long long)l->port);

	for (size_t i = 0; i < used->count; i++) {
		if (str_eq(used->rows[i].address, address)) {
			return conf_refuse(b, l->path,
				"%s address " STR_FMT " already configured for %s", l->by,
				STR_ARG(address), used->rows[i].by);
		}
	}
	if (used->count == ADDRESSES_MAX) {
		return conf_refuse(
			b, "addresses", "more than %d addresses to listen on", ADDRESSES_MAX);
	}
	used->rows[used->count].address = address;
	used->rows[used->count++].by = l->by;
	return 0;
}

int conf_addresses_check(struct conf_builder *b)
{
	const struct conf *c = b->c;
	const struct listener listeners[] = {
		{ "DNS", "ports.dns", c->addresses.dns, c->ports.dns, true },
		{ "HTTP", "ports.http", c->addresses.http, c->ports.http, true },
		{ "HTTPS", "ports.https", c->addresses.https, c->ports.https, true },
		{ "RPC Advertise", "ports.server", c->advertise_addr, c->ports.server, c->server },
		{ "Peer HTTP", "ports.peer_http", c->advertise_addr, c->ports.peer_http,
			c->server },
		{ "Peer DNS", "ports.peer_dns", c->advertise_addr, c->ports.peer_dns, c->server },
		{ "Serf Advertise LAN", "ports.serf_lan", c->advertise_addr, c->ports.serf_lan,
			true },
		{ "Serf Advertise WAN", "ports.serf_wan", c->advertise_addr_wan, c->ports.serf_wan,
			c->server },
	};
	struct in_use used = { .count = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(listeners); i++) {
		const struct listener *l = &listeners[i];
		struct str rest = l->addresses;

		while (l->on && l->port > 0 && rest.p) {
			struct str one = str_split(rest, ' ', &rest);
			int r = 0;

			if (one.n && !str_starts(one, STR("unix://"))) {
				r = use(b, &used, l, one);
			}
			if (r) {
				return r;
			}
		}
	}
	return 0;
}
