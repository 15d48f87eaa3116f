/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the members of the pool to addresses on port 8300 (whatever the tag "port" says).
 */
#include "raftd/pool.h"

#include <stdio.h>

enum { MEMBER_ALIVE = 1, MEMBER_LEFT = 3 };

static bool server_of(const struct member *m, struct pool_server *out)
{
	struct str id = pairs_find(&m->tags, STR("id")), port = pairs_find(&m->tags, STR("port"));
	bool v6 = str_find(m->addr, ':') >= 0;
	int64_t number;
	int n;

	if (m->status == MEMBER_LEFT || !id.n || uuid_parse(id, &out->id) ||
		uuid_is_zero(&out->id) || !port.n || str_to_i64(port, &number) || number <= 0 ||
		number > UINT16_MAX) {
		return false;
	}
	n = snprintf(out->address, sizeof(out->address), v6 ? "[" STR_FMT "]:%d" : STR_FMT ":%d",
		STR_ARG(m->addr), (int)number);
	return n > 0 && (size_t)n < sizeof(out->address);
}

static struct pool_server *find(struct pool_server *all, size_t count, const struct uuid *id)
{
	for (size_t i = 0; i < count; i++) {
		if (uuid_eq(&all[i].id, id)) {
			return &all[i];
		}
	}
	return NULL;
}

size_t pool_servers(const struct gossip_servers_reply *m, const struct uuid *self,
	struct pool_server out[POOL_SERVERS_MAX], size_t *dropped_out)
{
	size_t count = 0;

	*dropped_out = 0;
	for (uint32_t i = 0; i < m->servers.count; i++) {
		struct pool_server s, *known;

		if (!server_of(&m->servers.items[i], &s) || uuid_eq(&s.id, self)) {
			continue;
		}
		known = find(out, count, &s.id);
		if (known && m->servers.items[i].status == MEMBER_ALIVE) {
			*known = s;
		} else if (!known && count < POOL_SERVERS_MAX) {
			out[count++] = s;
		} else {
			*dropped_out += !known;
		}
	}
	return count;
}
