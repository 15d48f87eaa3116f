/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who forms a new cluster.
 */
#include "raftd/founding.h"

static int id_compare(const void *a, const void *b)
{
	const struct founding_server *x = a, *y = b;

	return memcmp(x->id.b, y->id.b, sizeof(x->id.b));
}

/* What forbids a new cluster, whatever the numbers. */
static enum founding_verdict obstacle(const struct founding_server *servers, size_t count)
{
	enum founding_verdict verdict = FOUNDING_NOW;

	for (size_t i = 0; i < count; i++) {
		const struct founding_server *s = &servers[i];

		if (s->has_log || s->knows_leader) {
			return FOUNDING_JOINS;
		}
		if (s->expect && s->expect != servers[0].expect) {
			verdict = FOUNDING_DIFFERS;
		}
	}
	return verdict;
}

enum founding_verdict founding_judge(
	struct founding_server *servers, size_t count, struct configuration *out, size_t *seen_out)
{
	uint32_t expect = servers[0].expect;
	struct uuid self = servers[0].id;
	enum founding_verdict verdict;
	size_t seen = 0;

	*seen_out = 0;
	if (expect == 0 || servers[0].read_replica) {
		return FOUNDING_NOT_EXPECTED;
	}
	verdict = obstacle(servers, count);
	for (size_t i = 0; i < count; i++) {
		if (servers[i].expect == expect && !servers[i].read_replica) {
			servers[seen++] = servers[i];
		}
	}
	*seen_out = seen;
	if (verdict != FOUNDING_NOW) {
		return verdict;
	}
	if (seen < expect || expect > RAFT_SERVERS_MAX) {
		return FOUNDING_WAITS;
	}
	qsort(servers, seen, sizeof(*servers), id_compare);
	*out = (struct configuration) { .count = expect };
	for (size_t i = 0; i < expect; i++) {
		struct configuration_server *s = &out->servers[i];

		*s = (struct configuration_server) {
			.id = servers[i].id, .voter = true, .life = servers[i].life
		};
		must(servers[i].address.n < sizeof(s->address));
		memcpy(s->address, servers[i].address.p, servers[i].address.n);
	}
	return configuration_find(out, &self) ? FOUNDING_NOW : FOUNDING_OTHERS;
}
