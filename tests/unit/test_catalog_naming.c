/* SPDX-License-Identifier: Apache-2.0 */
/*
 * catalogd/core/naming.c: what is derived of the changes, batch by batch, is what would be derived
 * of the whole state.
 */
#include "tests/unit/catalog.h"

#include "common/base/hash.h"

enum { STEPS = 4000, COMMANDS_MAX = 4 };

static uint64_t naming_digest(struct kv_mem *naming)
{
	struct kv_txn *t = kv_mem_begin(naming);
	uint64_t digest = 0;
	struct kv_walk w;

	for (unsigned table = 0; table < NAMING_TABLES_COUNT; table++) {
		digest = hash64_mix(digest, table);
		kv_walk_init(&w, t, table, STR(""));
		while (kv_walk_next(&w)) {
			digest = hash64_mix(digest, hash64(w.key, table));
			digest = hash64_mix(digest, hash64(w.value, 0));
		}
	}
	kv_abort(t);
	return digest;
}

static void derive(
	struct world *w, struct catalog *c, struct kv_mem *naming, enum naming_scope scope)
{
	struct kv_txn *state = world_begin(w), *t = kv_mem_begin(naming);

	catalog_naming(c, state, t, scope);
	ck_assert_int_eq(kv_commit(t), 0);
	kv_abort(state);
}

/* Of the state as it is, by somebody who knows nothing else. */
static uint64_t whole_digest(struct world *w)
{
	OWN(kv_mem_free) struct kv_mem *naming = kv_mem_new(NAMING_TABLES_COUNT);
	OWN(catalog_free) struct catalog *c = catalog_new();

	derive(w, c, naming, NAMING_ALL);
	return naming_digest(naming);
}

/* -------- commands -------- */

static struct str one_of(struct rng *r, const char *const words[], size_t count)
{
	return str_of(words[rng_below(r, count)]);
}
#define ONE_OF(r, ...)                                     \
	one_of((r), (const char *const[]) { __VA_ARGS__ }, \
		ARRAY_SIZE(((const char *const[]) { __VA_ARGS__ })))

static void register_something(struct world *w, struct rng *r)
{
	struct health_check check = {
		.check_id = ONE_OF(r, "c", "C", "d"),
		.status = ONE_OF(r, "passing", "warning", "critical"),
	};
	struct str tags[] = { ONE_OF(r, "a", "b"), ONE_OF(r, "c", "d") };
	struct pair node_tagged = { ONE_OF(r, "lan_ipv6", "wan", "wan_ipv4"),
		ONE_OF(r, "10.9.0.1", "fd00::1", "") };
	struct tagged_address tagged = { ONE_OF(r, "lan_ipv4", "wan", "wan_ipv6"),
		ONE_OF(r, "10.9.1.1", "fd00::1:1"), (int64_t)rng_below(r, 3) };
	struct cmd_register cmd = {
		.node = { .node = ONE_OF(r, "n", "N", "m", "host.x"),
			.id = ONE_OF(r, "", "00000000-0000-0000-0000-000000000001",
				"00000000-0000-0000-0000-000000000002"),
			.address = ONE_OF(r, "10.0.0.1", "10.0.0.2", "fd00::1", "a.host"),
			.tagged_addresses = { &node_tagged, (uint32_t)rng_below(r, 2), true } },
		.has_service = rng_below(r, 2),
		.service = { .id = ONE_OF(r, "s", "S", "t"),
			.name = ONE_OF(r, "web", "Web", "db"),
			.tags = { tags, (uint32_t)rng_below(r, 3), true },
			.address = ONE_OF(r, "", "", "10.0.0.1", "10.0.1.1"),
			.tagged_addresses = { &tagged, (uint32_t)rng_below(r, 2) },
			.port = (int64_t)rng_below(r, 2) },
	};

	if (rng_below(r, 2)) {
		check.service_id = cmd.has_service && rng_below(r, 2) ? cmd.service.id : STR("");
		cmd.checks.items = &check;
		cmd.checks.count = 1;
	}
	APPLY(w, cmd_register, &cmd);
}

static void deregister_something(struct world *w, struct rng *r)
{
	struct cmd_deregister cmd = { .node = ONE_OF(r, "n", "N", "m", "host.x") };

	if (rng_below(r, 3)) {
		cmd.service_id = ONE_OF(r, "s", "t");
	} else if (rng_below(r, 2)) {
		cmd.check_id = ONE_OF(r, "c", "d");
	}
	APPLY(w, cmd_deregister, &cmd);
}

/* -------- tests -------- */

TEST(changes_make_the_whole)
{
	OWN(kv_mem_free) struct kv_mem *naming = kv_mem_new(NAMING_TABLES_COUNT);
	struct world w;
	struct rng r;

	rng_init(&r, 11);
	world_init(&w, NULL);
	derive(&w, w.c, naming, NAMING_ALL);
	for (int i = 0; i < STEPS; i++) {
		batch_begin(&w);
		for (uint64_t n = 1 + rng_below(&r, COMMANDS_MAX); n; n--) {
			if (rng_below(&r, 4)) {
				register_something(&w, &r);
			} else {
				deregister_something(&w, &r);
			}
		}
		batch_end(&w);
		if (catalog_naming_changed(w.c)) {
			derive(&w, w.c, naming,
				rng_below(&r, 2) ? NAMING_CHANGED : NAMING_CHANGED_SMALL);
		}
		ck_assert_msg(naming_digest(naming) == whole_digest(&w), "step %d", i);
	}
	world_fini(&w);
}
END_TEST

/* The state was replaced by a snapshot while a derivation was put off: what the batch before it had
 * taken away is there in the new one, and stays. */
TEST(what_is_put_off_is_of_the_new_state)
{
	OWN(kv_mem_free) struct kv_mem *naming = kv_mem_new(NAMING_TABLES_COUNT);
	struct cmd_register here = { .node = { .node = STR("n"), .address = STR("10.0.0.1") } };
	struct cmd_deregister gone = { .node = STR("n") };
	struct world w, snapshot;
	struct kv_txn *t;

	world_init(&w, NULL);
	world_init(&snapshot, NULL);
	APPLY(&w, cmd_register, &here);
	APPLY(&snapshot, cmd_register, &here);
	APPLY(&w, cmd_deregister, &gone);
	derive(&w, w.c, naming, NAMING_CHANGED_SMALL);
	t = world_begin(&snapshot);
	catalog_open(w.c, t);
	kv_abort(t);
	derive(&snapshot, w.c, naming, NAMING_ALL);
	derive(&snapshot, w.c, naming, NAMING_CHANGED);
	ck_assert_uint_eq(naming_digest(naming), whole_digest(&snapshot));
	world_fini(&w);
	world_fini(&snapshot);
}
END_TEST

/* An instance's own tagged addresses stand in no record that DNS is derived from, but count. */
TEST(tagged_addresses_alone)
{
	OWN(kv_mem_free) struct kv_mem *naming = kv_mem_new(NAMING_TABLES_COUNT);
	struct tagged_address tagged = { STR("wan"), STR("192.0.2.1"), 81 };
	struct cmd_register cmd = { .node = { .node = STR("n"), .address = STR("10.0.0.1") },
		.has_service = true,
		.service = { .id = STR("s"),
			.name = STR("Web"),
			.address = STR("10.1.0.1"),
			.tagged_addresses = { &tagged, 1 } } };
	struct world w;

	world_init(&w, NULL);
	derive(&w, w.c, naming, NAMING_ALL);
	APPLY(&w, cmd_register, &cmd);
	derive(&w, w.c, naming, NAMING_CHANGED);
	for (int change = 0; change < 3; change++) {
		uint64_t before = naming_digest(naming);

		tagged.port += change == 0;
		tagged.address = change == 1 ? STR("192.0.2.2") : tagged.address;
		cmd.service.tagged_addresses.count = change < 2;
		APPLY(&w, cmd_register, &cmd);
		ck_assert(catalog_naming_changed(w.c));
		derive(&w, w.c, naming, NAMING_CHANGED);
		ck_assert_uint_ne(naming_digest(naming), before);
		ck_assert_uint_eq(naming_digest(naming), whole_digest(&w));
	}
	world_fini(&w);
}
END_TEST

UNIT_MAIN("catalog_naming", changes_make_the_whole, what_is_put_off_is_of_the_new_state,
	tagged_addresses_alone)
