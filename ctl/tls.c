/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster tls: makes the certificates of a cluster, in files named as the consul tool names them, in
 * the working directory.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/sys/tls_make.h"
#include "ctl/api.h"
#include "ctl/commands.h"

enum { NUMBER_MAX = 10000, DAYS_MAX = 365000, MODE_PUBLIC = 0644, MODE_SECRET = 0600 };

/* A file that was not there before. */
static int file_write(const char *path, const struct buf *text, mode_t mode)
{
	OWN_FD int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text->p, text->n) != (ssize_t)text->n || fsync(fd)) {
		return ctl_fail("open %s: %s", path, strerror(errno));
	}
	ctl_say("==> Saved %s", path);
	return 0;
}

static int pair_write(const char *certificate, const char *key, const struct tls_pair *pair)
{
	return file_write(certificate, &pair->certificate, MODE_PUBLIC) ||
	       file_write(key, &pair->key, MODE_SECRET);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void list_add(struct strs *list, const char *item)
{
	list->items[list->count++] = str_trim(str_of(item));
}

static int days_check(int64_t days)
{
	return days < 1 || days > DAYS_MAX ? ctl_fail("-days must be between 1 and %d", DAYS_MAX)
					   : 0;
}

/* ---- the authority ---- */

struct ca_flags {
	int64_t days;
	const char *domain;
	bool constrained;
	struct flag_list more;
};

static int ca_make(const struct ca_flags *f)
{
	OWN_EMBEDDED(buf_fini) struct buf certificate = { 0 }, key = { 0 }, why = { 0 };
	OWN_EMBEDDED(tls_pair_fini) struct tls_pair pair = { 0 };
	struct str items[FLAG_LIST_MAX + 2];
	struct strs permitted = { items, 0, true };

	buf_printf(&certificate, "%s-agent-ca.pem", f->domain);
	buf_printf(&key, "%s-agent-ca-key.pem", f->domain);
	if (exists(buf_cstr(&certificate))) {
		return ctl_fail("%s already exists.", buf_cstr(&certificate));
	}
	if (exists(buf_cstr(&key))) {
		return ctl_fail("%s already exists.", buf_cstr(&key));
	}
	for (size_t i = 0; f->constrained && i < f->more.count; i++) {
		list_add(&permitted, f->more.items[i]);
	}
	if (f->constrained) {
		list_add(&permitted, f->domain);
		list_add(&permitted, "localhost");
	}
	if (tls_make_ca(f->days, permitted, &pair, &why)) {
		return ctl_fail("%s", buf_cstr(&why));
	}
	return pair_write(buf_cstr(&certificate), buf_cstr(&key), &pair);
}

int tls_ca_create_run(struct ctl *c, int argc, char **argv)
{
	struct ca_flags f = { .days = 1825, .domain = "consul" };
	struct flagset set = { 0 };
	int at;

	flag_add(&set, "days", FLAG_INT, &f.days, "How many days it is valid.");
	flag_add(&set, "domain", FLAG_TEXT, &f.domain, "Domain of the cluster; names the files.");
	flag_add(&set, "name-constraint", FLAG_BOOL, &f.constrained,
		"Let it sign for localhost and the domain only.");
	flag_add(&set, "additional-name-constraint", FLAG_TEXTS, &f.more,
		"And for this one. May be given several times.");
	flags_end_own(&set);
	at = ctl_begin(c, &set, "tls ca create [options]",
		"Makes a certification authority for a cluster, in the working directory.", argc,
		argv);
	if (at < 0) {
		return -1 - at;
	}
	return days_check(f.days) ? 1 : ca_make(&f);
}

/* ---- certificates ---- */

struct cert_flags {
	bool kinds[3]; /* server, client, cli */
	const char *ca, *key, *dc, *domain, *node;
	int64_t days;
	struct flag_list names, addresses;
};

static const char *const kind_names[] = { "server", "client", "cli" };
enum { KIND_SERVER, KIND_CLI = 2 };

/* The kind, -1: not exactly one. */
static int kind_of(const struct cert_flags *f)
{
	int kind = -1, count = 0;

	for (int i = 0; i < (int)ARRAY_SIZE(kind_names); i++) {
		if (f->kinds[i]) {
			kind = i;
			count++;
		}
	}
	return count == 1 ? kind : -1;
}

static int file_read(
	const char *name, const char *domain, const char *what, struct buf *path, struct buf *out)
{
	OWN_EMBEDDED(buf_fini) struct buf word = { 0 }, why = { 0 };
	const char *mark = strstr(name, "#DOMAIN#");

	if (mark) {
		buf_put(path, name, (size_t)(mark - name));
		buf_printf(path, "%s%s", domain, mark + strlen("#DOMAIN#"));
	} else {
		buf_put_cstr(path, name);
	}
	buf_printf(&word, "@%s", buf_cstr(path));
	return data_read(buf_cstr(&word), out, &why)
		       ? ctl_fail("Error reading %s: %s", what, buf_cstr(&why))
		       : 0;
}

/* The first number for which there is neither file. */
static int names_find(const char *prefix, struct buf *certificate, struct buf *key)
{
	for (int i = 0; i <= NUMBER_MAX; i++) {
		buf_clear(certificate);
		buf_clear(key);
		buf_printf(certificate, "%s-%d.pem", prefix, i);
		buf_printf(key, "%s-%d-key.pem", prefix, i);
		if (!exists(buf_cstr(certificate)) && !exists(buf_cstr(key))) {
			return 0;
		}
	}
	return ctl_fail("Could not find a filename that doesn't already exist");
}

static int addresses_check(const struct flag_list *addresses)
{
	for (size_t i = 0; i < addresses->count; i++) {
		OWN(free) char *text = str_dup(str_trim(str_of(addresses->items[i])));
		struct in6_addr any;

		if (inet_pton(AF_INET, text, &any) != 1 && inet_pton(AF_INET6, text, &any) != 1) {
			return ctl_fail("Not an IP address: %s", addresses->items[i]);
		}
	}
	return 0;
}

/* Whom it is for, as Consul's daemons and clients expect it. */
static void subject_fill(
	const struct cert_flags *f, int kind, struct arena *arena, struct tls_subject *s)
{
	s->name = arena_printf(arena, "%s.%s.%s", kind_names[kind], f->dc, f->domain);
	s->days = f->days;
	s->is_peer = kind != KIND_CLI;
	s->dns_names.items = arena_array(arena, struct str, FLAG_LIST_MAX + 3);
	s->addresses.items = arena_array(arena, struct str, FLAG_LIST_MAX + 1);
	for (size_t i = 0; s->is_peer && i < f->names.count; i++) {
		list_add(&s->dns_names, f->names.items[i]);
	}
	if (f->node && f->node[0]) {
		s->dns_names.items[s->dns_names.count++] =
			arena_printf(arena, "%s.server.%s.%s", f->node, f->dc, f->domain);
	}
	s->dns_names.items[s->dns_names.count++] = s->name;
	list_add(&s->dns_names, "localhost");
	for (size_t i = 0; s->is_peer && i < f->addresses.count; i++) {
		list_add(&s->addresses, f->addresses.items[i]);
	}
	if (s->is_peer) {
		list_add(&s->addresses, "127.0.0.1");
	}
}

static int cert_make(const struct cert_flags *f, int kind)
{
	OWN_EMBEDDED(buf_fini) struct buf certificate = { 0 }, key = { 0 }, why = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf prefix = { 0 }, ca_path = { 0 }, key_path = { 0 };
	OWN_EMBEDDED(tls_pair_fini) struct tls_pair ca = { 0 }, pair = { 0 };
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct tls_subject subject = { 0 };

	buf_printf(&prefix, "%s-%s-%s", f->dc, kind_names[kind], f->domain);
	if (names_find(buf_cstr(&prefix), &certificate, &key) ||
		file_read(f->ca, f->domain, "CA", &ca_path, &ca.certificate) ||
		file_read(f->key, f->domain, "CA key", &key_path, &ca.key)) {
		return 1;
	}
	if (kind == KIND_SERVER) {
		ctl_say("==> WARNING: Server Certificates grants authority to become a\n"
			"    server and access all state in the cluster including root keys\n"
			"    and all ACL tokens. Do not distribute them to production hosts\n"
			"    that are not server nodes. Store them as securely as CA keys.");
	}
	ctl_say("==> Using %s and %s", buf_cstr(&ca_path), buf_cstr(&key_path));
	subject_fill(f, kind, &arena, &subject);
	if (tls_make_certificate(&ca, &subject, &pair, &why)) {
		return ctl_fail("%s", buf_cstr(&why));
	}
	return pair_write(buf_cstr(&certificate), buf_cstr(&key), &pair);
}

int tls_cert_create_run(struct ctl *c, int argc, char **argv)
{
	struct cert_flags f = { .ca = "#DOMAIN#-agent-ca.pem",
		.key = "#DOMAIN#-agent-ca-key.pem",
		.dc = "dc1",
		.domain = "consul",
		.days = 365 };
	struct flagset set = { 0 };
	int at;

	flag_add(&set, "server", FLAG_BOOL, &f.kinds[KIND_SERVER], "For a server.");
	flag_add(&set, "client", FLAG_BOOL, &f.kinds[1], "For a client node.");
	flag_add(&set, "cli", FLAG_BOOL, &f.kinds[KIND_CLI], "For people and their tools.");
	flag_add(&set, "ca", FLAG_TEXT, &f.ca, "Certificate of the authority.");
	flag_add(&set, "key", FLAG_TEXT, &f.key, "Its key.");
	flag_add(&set, "days", FLAG_INT, &f.days, "How many days it is valid.");
	flag_add(&set, "dc", FLAG_TEXT, &f.dc, "Data centre.");
	flag_add(&set, "domain", FLAG_TEXT, &f.domain, "Domain of the cluster.");
	flag_add(&set, "node", FLAG_TEXT, &f.node,
		"With -server: <node>.server.<dc>.<domain> is one of its names.");
	flag_add(&set, "additional-dnsname", FLAG_TEXTS, &f.names,
		"One more name. May be given several times.");
	flag_add(&set, "additional-ipaddress", FLAG_TEXTS, &f.addresses,
		"One more address. May be given several times.");
	flags_end_own(&set);
	at = ctl_begin(c, &set, "tls cert create [options]",
		"Makes a certificate and its key, signed by the cluster's authority.", argc, argv);
	if (at < 0) {
		return -1 - at;
	}
	if (!f.ca[0] || !f.key[0]) {
		return ctl_fail(f.ca[0] ? "Please provide the key" : "Please provide the ca");
	}
	if (kind_of(&f) < 0) {
		return ctl_fail("Please provide either -server, -client, or -cli");
	}
	if (f.node && f.node[0] && !f.kinds[KIND_SERVER]) {
		return ctl_fail("-node requires -server");
	}
	return days_check(f.days) || addresses_check(&f.addresses) ? 1 : cert_make(&f, kind_of(&f));
}
