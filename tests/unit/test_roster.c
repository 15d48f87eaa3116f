/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core/roster.h: what the leader makes of the members of the pool, and what it looks at
 * again when the pool has changed.
 */
#include "catalogd/core/roster.h"

#include "tests/unit/unit.h"

enum { MEMBERS_MAX = 8, TAGS_MAX = 4 };

struct pool {
	struct member members[MEMBERS_MAX];
	struct pair tags[MEMBERS_MAX][TAGS_MAX];
	uint32_t count;
	uint64_t version;
	struct roster roster, empty;
};

static void pool_add(
	struct pool *p, const char *name, const char *role, const char *id, uint8_t status)
{
	struct pair *tags = p->tags[p->count];

	tags[0] = (struct pair) { STR("dc"), STR("dc1") };
	tags[1] = (struct pair) { STR("id"), str_of(id) };
	tags[2] = (struct pair) { STR("role"), str_of(role) };
	p->members[p->count++] = (struct member) { .name = str_of(name),
		.addr = STR("10.0.0.1"),
		.tags = { tags, 3, true },
		.status = status };
}

static void pool_make(struct pool *p, struct roster *out, const struct roster *before)
{
	OWN_EMBEDDED(buf_fini) struct buf bytes = { 0 };
	struct members_reply reply = {
		.version = p->version, .self = STR("a"), .members = { p->members, p->count }
	};

	members_reply_encode(&bytes, &reply);
	ck_assert_int_eq(roster_make(out, buf_str(&bytes), STR("dc1"), before), 0);
}

static struct roster_row *row(const struct roster *r, const char *key)
{
	struct roster_row *found = roster_find(r, str_of(key));

	ck_assert_msg(found, "%s", key);
	return found;
}

TEST(who_is_handled)
{
	struct pool p = { .count = 0 };

	pool_add(&p, "Server", "consul", "X1", ROSTER_ALIVE);
	pool_add(&p, "client", "node", "x2", ROSTER_ALIVE);
	pool_add(&p, "stranger", "", "x3", ROSTER_ALIVE);
	pool_add(&p, "elsewhere", "node", "x4", ROSTER_ALIVE);
	p.tags[3][0].value = STR("dc2");
	pool_make(&p, &p.roster, &p.empty);
	ck_assert(row(&p.roster, "server")->handled && row(&p.roster, "server")->server);
	ck_assert(str_is(row(&p.roster, "server")->id, "x1"));
	ck_assert(row(&p.roster, "client")->handled && !row(&p.roster, "client")->server);
	ck_assert(!row(&p.roster, "stranger")->handled);
	ck_assert(!row(&p.roster, "elsewhere")->handled);
	ck_assert(!roster_find(&p.roster, STR("Server")));
	ck_assert(!roster_find(&p.empty, STR("server")));
	roster_fini(&p.roster);
}
END_TEST

TEST(twins)
{
	struct pool p = { .count = 0 };

	pool_add(&p, "c", "node", "same", ROSTER_ALIVE);
	pool_add(&p, "b", "node", "SAME", ROSTER_ALIVE);
	pool_add(&p, "a", "node", "same", ROSTER_FAILED); /* renamed: no conflict */
	pool_add(&p, "d", "node", "same", ROSTER_ALIVE);
	pool_add(&p, "e", "node", "other", ROSTER_ALIVE);
	pool_add(&p, "f", "node", "", ROSTER_ALIVE);
	pool_add(&p, "g", "node", "", ROSTER_ALIVE);
	pool_make(&p, &p.roster, &p.empty);
	ck_assert(row(&p.roster, "b")->twin && row(&p.roster, "b")->first);
	ck_assert(row(&p.roster, "c")->twin && !row(&p.roster, "c")->first);
	ck_assert(row(&p.roster, "d")->twin && !row(&p.roster, "d")->first);
	for (const char *key = "aefg"; *key; key++) {
		char one[] = { *key, 0 };

		ck_assert_msg(!row(&p.roster, one)->twin, "%s", one);
	}
	roster_fini(&p.roster);
}
END_TEST

/* Each change of a row is a reason to look at it; of the others none. */
TEST(what_is_due)
{
	for (int change = 0; change < 7; change++) {
		struct pool p = { .count = 0 };
		struct roster next;

		pool_add(&p, "a", "node", "x1", ROSTER_ALIVE);
		pool_add(&p, "b", "node", "x2", ROSTER_ALIVE);
		pool_make(&p, &p.roster, &p.empty);
		ck_assert(row(&p.roster, "a")->due && row(&p.roster, "b")->due);
		row(&p.roster, "a")->due = row(&p.roster, "b")->due = false;
		row(&p.roster, "a")->trouble = STR("said");
		p.members[1].status = change == 1 ? ROSTER_FAILED : ROSTER_ALIVE;
		p.members[1].addr = change == 2 ? STR("10.0.0.2") : STR("10.0.0.1");
		p.members[1].port = change == 3;
		p.tags[1][1].value = change == 4 ? STR("x1") : STR("x2"); /* a twin of the other */
		p.members[1].protocol_cur = change == 5;
		p.members[1].name = change == 6 ? STR("B") : STR("b");
		pool_make(&p, &next, &p.roster);
		roster_fini(&p.roster);
		ck_assert_msg(row(&next, "a")->due == (change == 4), "change %d", change);
		ck_assert_msg(row(&next, "b")->due == (change != 0), "change %d", change);
		ck_assert(str_is(row(&next, "a")->trouble, "said"));
		roster_fini(&next);
	}
}
END_TEST

/* What was due and has not been looked at stays so. */
TEST(due_is_kept)
{
	struct pool p = { .count = 0 };
	struct roster next;

	pool_add(&p, "a", "node", "x1", ROSTER_ALIVE);
	pool_make(&p, &p.roster, &p.empty);
	pool_make(&p, &next, &p.roster);
	ck_assert(row(&next, "a")->due);
	roster_fini(&p.roster);
	roster_fini(&next);
}
END_TEST

TEST(who_is_gone)
{
	static const struct {
		uint8_t status;
		const char *role;
		bool gone;
	} rows[] = { { ROSTER_ALIVE, "node", false }, { ROSTER_LEAVING, "node", false },
		{ ROSTER_LEFT, "node", true }, { ROSTER_FAILED, "consul", true },
		{ ROSTER_FAILED, "", false } };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool p = { .count = 0 };
		struct roster next;

		pool_add(&p, "a", "node", "x1", ROSTER_ALIVE);
		pool_add(&p, "Gone", rows[i].role, "x2", rows[i].status);
		pool_make(&p, &p.roster, &p.empty);
		p.count = 1;
		pool_make(&p, &next, &p.roster);
		roster_fini(&p.roster);
		ck_assert_msg(next.gone.count == rows[i].gone, "row %zu", i);
		ck_assert(!rows[i].gone || str_is(next.gone.items[0], "gone"));
		roster_fini(&next);
	}
}
END_TEST

/* Who does not know the dead yet does not say that they are gone. */
TEST(a_new_gossipd_knows_little)
{
	struct pool p = { .version = 5 };
	struct roster next;

	pool_add(&p, "a", "node", "x1", ROSTER_ALIVE);
	pool_add(&p, "failed", "node", "x2", ROSTER_FAILED);
	pool_make(&p, &p.roster, &p.empty);
	p.count = 1;
	p.version += UINT64_C(3) << 32;
	pool_make(&p, &next, &p.roster);
	roster_fini(&p.roster);
	ck_assert_uint_eq(next.gone.count, 0);
	roster_fini(&next);
}
END_TEST

TEST(no_such_message)
{
	struct roster empty = { .count = 0 }, r;

	ck_assert_int_ne(roster_make(&r, STR("nonsense"), STR("dc1"), &empty), 0);
	ck_assert(!roster_find(&r, STR("a")));
	roster_fini(&r);
}
END_TEST

UNIT_MAIN("roster", who_is_handled, twins, what_is_due, due_is_kept, who_is_gone,
	a_new_gossipd_knows_little, no_such_message)
