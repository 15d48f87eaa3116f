/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who forms a new cluster: every case as a row.
 */
#include "raftd/founding.h"

#include "tests/unit/unit.h"

struct row {
	const char *what;
	enum founding_verdict verdict;
	size_t seen;
	const char *founders; /* their letters in order */
	const char *servers; /* this one first: letter and expect, then l: log, r: replica, k: knows
				 a leader; separated by spaces */
};

static const struct row rows[] = {
	{ "nobody was told", FOUNDING_NOT_EXPECTED, 0, "", "a0 b3 c3" },
	{ "alone", FOUNDING_WAITS, 1, "", "a3" },
	{ "one is missing", FOUNDING_WAITS, 2, "", "a3 b3" },
	{ "all are there", FOUNDING_NOW, 3, "abc", "c3 b3 a3" },
	{ "who expects nothing does not count", FOUNDING_WAITS, 2, "", "a3 b3 c0" },
	{ "nor does a replica", FOUNDING_WAITS, 2, "", "a3 b3 c3r" },
	{ "a replica founds nothing", FOUNDING_NOT_EXPECTED, 0, "", "a3r b3 c3 d3" },
	{ "another number", FOUNDING_DIFFERS, 3, "", "a3 b3 c3 d5" },
	{ "somebody has a log", FOUNDING_JOINS, 3, "", "a3 b3 c3l" },
	{ "even one who expects nothing", FOUNDING_JOINS, 3, "", "a3 b3 c3 d0l" },
	{ "or knows a leader", FOUNDING_JOINS, 3, "", "a3 b3 c3k" },
	{ "a log counts more than another number", FOUNDING_JOINS, 2, "", "a3 b5 c3l" },
	{ "one too many: among the lowest", FOUNDING_NOW, 4, "abc", "b3 d3 c3 a3" },
	{ "one too many: the highest", FOUNDING_OTHERS, 4, "abc", "d3 b3 c3 a3" },
	{ "more than a quorum holds", FOUNDING_WAITS, 2, "", "a17 b17" },
};

static size_t servers_parse(const char *text, struct founding_server out[], char addresses[][8])
{
	size_t count = 0;
	struct str rest = str_of(text);

	while (rest.p) {
		struct str item = str_split(rest, ' ', &rest);
		struct founding_server *s = &out[count];

		*s = (struct founding_server) { .id = { { (uint8_t)item.p[0] } } };
		s->expect = (uint32_t)strtoul(item.p + 1, NULL, 10);
		s->has_log = str_find(item, 'l') > 0;
		s->read_replica = str_find(item, 'r') > 0;
		s->knows_leader = str_find(item, 'k') > 0;
		snprintf(addresses[count], sizeof(addresses[0]), "%c:8300", item.p[0]);
		s->address = str_of(addresses[count]);
		count++;
	}
	return count;
}

TEST(verdicts)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		OWN_EMBEDDED(buf_fini) struct buf founders = { 0 };
		struct founding_server servers[8];
		struct configuration c = { 0 };
		char addresses[8][8];
		size_t count = servers_parse(rows[i].servers, servers, addresses), seen;
		enum founding_verdict v = founding_judge(servers, count, &c, &seen);

		ck_assert_msg(v == rows[i].verdict && seen == rows[i].seen,
			"%s: verdict %d, seen %zu", rows[i].what, v, seen);
		for (size_t k = 0; k < c.count; k++) {
			ck_assert(c.servers[k].voter);
			ck_assert_int_eq(c.servers[k].address[0], c.servers[k].id.b[0]);
			buf_put_char(&founders, (char)c.servers[k].id.b[0]);
		}
		ck_buf_is(&founders, rows[i].founders);
	}
}
END_TEST

UNIT_MAIN("founding", verdicts)
