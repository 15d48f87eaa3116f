/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/base/kv: the in-memory backend against the contract, walks that change what they walk,
 * undo.
 */
#include "tests/unit/unit.h"

#include "common/base/kv.h"

TEST(test_order_and_walk)
{
	OWN(kv_mem_free) struct kv_mem *m = kv_mem_new(2);
	struct kv_txn *t = kv_mem_begin(m);
	struct kv_walk w;
	char seen[16] = "";

	kv_put(t, 0, STR("b/2"), STR("2"));
	kv_put(t, 0, STR("a"), STR("0"));
	kv_put(t, 0, STR("b/1"), STR("1"));
	kv_put(t, 0, STR("c"), STR("3"));
	kv_walk_init(&w, t, 0, STR("b/"));
	while (kv_walk_next(&w)) {
		strncat(seen, w.value.p, w.value.n);
		kv_del(t, 0, str_n(w.at, w.key_size));
	}
	ck_assert_str_eq(seen, "12");
	ck_assert_uint_eq(kv_count(t, 0), 2);
	ck_assert_uint_eq(kv_count(t, 1), 0);
	ck_assert_int_eq(kv_commit(t), 0);
}
END_TEST

TEST(test_abort_undoes)
{
	OWN(kv_mem_free) struct kv_mem *m = kv_mem_new(1);
	struct kv_txn *t = kv_mem_begin(m);
	struct str value;

	kv_put(t, 0, STR("k"), STR("old"));
	ck_assert_int_eq(kv_commit(t), 0);
	t = kv_mem_begin(m);
	kv_put(t, 0, STR("k"), STR("new"));
	kv_del(t, 0, STR("k"));
	kv_put(t, 0, STR("k"), STR("newer"));
	kv_put(t, 0, STR("j"), STR("x"));
	kv_abort(t);
	t = kv_mem_begin(m);
	ck_assert(kv_get(t, 0, STR("k"), &value));
	ck_str_is(value, "old");
	ck_assert(!kv_has(t, 0, STR("j")));
	kv_abort(t);
}
END_TEST

UNIT_MAIN("kv", test_order_and_walk, test_abort_undoes)
