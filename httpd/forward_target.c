/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whom to ask: the leader, as raftd's page names it now; or a server of a data centre, any that
 * gossip has alive and that has not been tried yet.
 */
#include <stdio.h>

#include "common/sys/clock.h"
#include "httpd/forward.h"

/* "10.0.0.1:8310" from raftd's "10.0.0.1:8300". */
static bool leader_address(const struct raft_page *page, struct net_address *out)
{
	char text[sizeof(page->leader_address) + 8];
	const char *colon = strrchr(page->leader_address, ':');

	if (page->is_leader || !page->leader_known || !page->leader_http_port || !colon) {
		return false;
	}
	snprintf(text, sizeof(text), "%.*s:%u", (int)(colon - page->leader_address),
		page->leader_address, page->leader_http_port);
	return net_address_parse(str_of(text), -1, out) == 0;
}

bool target_leader(struct forwards *all, struct target *out, bool *here_out)
{
	struct raft_page page;

	*here_out = false;
	*out = (struct target) { 0 };
	if (!state_raft_page(all->httpd->reader, &page)) {
		return false;
	}
	*here_out = page.is_leader && page.lease_until_ns > clock_mono().ns;
	return !*here_out && leader_address(&page, &out->address);
}

static enum target_state leader_find(struct forward *f, struct target *out)
{
	bool here;

	if (target_leader(f->forwards, out, &here)) {
		return TARGET_FOUND;
	}
	return here ? TARGET_HERE : TARGET_LATER;
}

static bool server_address(const struct server *s, struct net_address *out)
{
	char text[80];
	bool v6 = str_find(s->ip, ':') >= 0;

	snprintf(text, sizeof(text), "%s" STR_FMT "%s:%u", v6 ? "[" : "", STR_ARG(s->ip),
		v6 ? "]" : "", s->http_port);
	return s->http_port && net_address_parse(str_of(text), -1, out) == 0;
}

static const char *none_text(const struct forward *f)
{
	struct servers *servers = f->forwards->servers;

	if (str_eq(f->datacenter, f->forwards->httpd->conf->datacenter)) {
		return "No known Consul servers";
	}
	return servers_knows(servers, f->datacenter) ? "Remote DC has no server currently reachable"
						     : "No path to datacenter";
}

static enum target_state server_find(struct forward *f, struct target *out)
{
	struct servers *servers = f->forwards->servers;
	int64_t tried_ms = mono_diff_ms(clock_mono(), f->trying_since);
	struct server server;

	while (f->tried_count < TRIED_MAX &&
		servers_pick(servers, f->datacenter, f->tried, f->tried_count, &server)) {
		f->tried[f->tried_count++] = server.uuid;
		out->server = server.uuid;
		if (server_address(&server, &out->address)) {
			return TARGET_FOUND;
		}
		servers_failed(servers, &server.uuid);
	}
	if (tried_ms < UNREACHABLE_MS && (f->tried_count || !servers_ready(servers))) {
		f->tried_count = 0;
		return TARGET_LATER;
	}
	if (!f->why[0]) {
		snprintf(f->why, sizeof(f->why), "%s", none_text(f));
	}
	return TARGET_NONE;
}

enum target_state target_find(struct forward *f, struct target *out)
{
	*out = (struct target) { 0 };
	return f->datacenter.n ? server_find(f, out) : leader_find(f, out);
}
