/* SPDX-License-Identifier: Apache-2.0 */
/*
 * common/msg/naming: what the writer puts in, the reader finds; grouped by health and tag, without
 * duplicates; damaged records are refused without a crash.
 */
#include "tests/unit/unit.h"

#include "common/msg/naming.h"

static struct str tags_ab[] = { { "a", 1 }, { "B", 1 } };
static struct str tags_b[] = { { "b", 1 }, { "b", 1 }, { "", 0 } };
static struct pair meta[] = { { { "k=`", 3 }, { "v`", 2 } }, { { "RFC1035-x", 9 }, { "plain", 5 } },
	{ { " s ", 3 }, { "", 0 } } };

static struct naming_instance instance(
	const char *node, const char *address, int64_t port, enum health status)
{
	return (struct naming_instance) {
		.node = str_of(node),
		.node_address = STR("10.0.0.1"),
		.service_id = STR("web"),
		.address = str_of(address),
		.port = port,
		.weight_passing = 5,
		.weight_warning = 2,
		.status = status,
	};
}

static const struct naming_list *list(const struct naming_service *s, struct naming_view *v,
	const char *tag, enum naming_list_kind kind)
{
	ck_assert_int_eq(naming_service_view(s, str_of(tag), v), 0);
	return &v->lists[kind];
}

TEST(test_groups)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct naming_instance items[8];
	struct naming_service s;
	struct naming_view v;
	struct naming_target t;
	struct naming_address a;
	const struct naming_list *l;

	items[0] = instance("n1", "", 80, HEALTH_WARNING);
	items[1] = instance("n1", "", 81, HEALTH_PASSING);
	items[2] = instance("n2", "10.0.0.9", 70000, HEALTH_OTHER);
	items[3] = instance("n3", "2001:db8::1", 80, HEALTH_PASSING);
	items[4] = instance("n3", "www.Example.com.", 80, HEALTH_PASSING);
	items[5] = instance("n4", "10.0.0.99", 80, HEALTH_CRITICAL);
	items[6] = instance("n1", "", 81, HEALTH_PASSING); /* a duplicate */
	items[7] = instance("bad..name", "10.0.0.98", 80, HEALTH_PASSING);
	items[0].tags = (struct strs) { tags_ab, 2, true };
	items[2].tags = (struct strs) { tags_b, 3, true };
	buf_put_lit(&b, "prefix");
	naming_service_encode(&b, items, ARRAY_SIZE(items));
	ck_assert_int_eq(naming_service_open(str_skip(buf_str(&b), 6), &s), 0);
	ck_assert_uint_eq(s.nodes_count, 3);

	l = list(&s, &v, "", NAMING_LIST_TARGETS);
	ck_assert_uint_eq(l->count, 5);
	ck_assert_uint_eq(l->passing, 3);
	ck_assert_int_eq(naming_list_target(&s, l, 0, &t), 0);
	ck_str_is(t.node.name, "\x02n1");
	ck_assert_uint_eq(t.port, 81);
	ck_assert_uint_eq(t.weight, 5);
	ck_assert_int_eq(t.address.kind, NAMING_NONE);
	ck_assert_int_eq(t.node.address.kind, NAMING_V4);
	ck_assert_int_eq(naming_list_target(&s, l, 2, &t), 0);
	ck_str_is(t.address.bytes, "\x03www\x07"
				   "Example\x03"
				   "com");
	ck_assert_int_eq(naming_list_target(&s, l, 3, &t), 0);
	ck_assert_uint_eq(t.weight, 2);
	ck_assert_int_eq(naming_list_target(&s, l, 4, &t), 0);
	ck_assert_uint_eq(t.weight, 1);
	ck_assert_uint_eq(t.port, 70000 & 0xffff);
	ck_assert_int_eq(t.address.kind, NAMING_V4);

	l = &v.lists[NAMING_LIST_V4];
	ck_assert_uint_eq(l->count, 2);
	ck_assert_uint_eq(l->passing, 1);
	a = naming_list_address(&s, l, NAMING_LIST_V4, 0);
	ck_assert(str_eq(a.bytes, STR("\x0a\0\0\x01")));
	ck_assert_uint_eq(v.lists[NAMING_LIST_V6].count, 1);
	ck_assert_uint_eq(v.lists[NAMING_LIST_HOSTS].count, 1);
	ck_assert_int_eq(naming_list_target(&s, &v.lists[NAMING_LIST_HOSTS], 0, &t), 0);
	ck_str_is(t.address.bytes, "\x03www\x07"
				   "Example\x03"
				   "com");

	ck_assert_uint_eq(list(&s, &v, "a", NAMING_LIST_TARGETS)->count, 1);
	ck_assert_uint_eq(list(&s, &v, "b", NAMING_LIST_TARGETS)->count, 2);
	ck_assert_int_eq(naming_service_view(&s, STR("c"), &v), ST_NOT_FOUND);
	ck_assert_int_eq(naming_service_view(&s, STR("aa"), &v), ST_NOT_FOUND);
}
END_TEST

TEST(test_empty)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct naming_instance item = instance("n", "", 1, HEALTH_CRITICAL);
	struct naming_service s;
	struct naming_view v;

	naming_service_encode(&b, &item, 1);
	ck_assert_int_eq(naming_service_open(buf_str(&b), &s), 0);
	ck_assert_int_eq(naming_service_view(&s, STR(""), &v), ST_NOT_FOUND);
}
END_TEST

TEST(test_node)
{
	static const char *const expected[] = { "\x09k`=``=v``", "\x05plain", "\x06` s` =" };
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct node_def def = {
		.node = STR("db.1"), .address = STR("::ffff:1.2.3.4"), .meta = { meta, 3, true }
	};
	struct naming_node n;
	struct str rdata;

	naming_node_encode(&b, &def, NAMING_FACE_ANY);
	ck_assert_int_eq(naming_node_open(buf_str(&b), &n), 0);
	ck_str_is(n.name, "\x02"
			  "db\x01"
			  "1");
	ck_assert(!n.plain);
	ck_assert_int_eq(n.address.kind, NAMING_V4);
	ck_assert_uint_eq(n.texts_count, 3);
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		ck_assert(naming_text_next(&n.texts, &rdata));
		ck_str_is(rdata, expected[i]);
	}
	ck_assert(!naming_text_next(&n.texts, &rdata));
}
END_TEST

TEST(test_long_text)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	char value[300];
	struct pair pair = { STR("key"), { value, sizeof(value) } };
	struct node_def def = {
		.node = STR("n"), .address = STR("host.example."), .meta = { &pair, 1, true }
	};
	struct naming_node n;
	struct str rdata;

	memset(value, 'v', sizeof(value));
	naming_node_encode(&b, &def, NAMING_FACE_ANY);
	ck_assert_int_eq(naming_node_open(buf_str(&b), &n), 0);
	ck_assert_int_eq(n.address.kind, NAMING_HOST);
	ck_assert(n.plain);
	ck_assert(naming_text_next(&n.texts, &rdata));
	ck_assert_uint_eq(rdata.n, 304 + 2);
	ck_assert_uint_eq((uint8_t)rdata.p[0], 255);
	ck_assert_uint_eq((uint8_t)rdata.p[256], 49);
}
END_TEST

TEST(test_addresses)
{
	OWN(kv_mem_free) struct kv_mem *m = kv_mem_new(NAMING_TABLES_COUNT);
	struct kv_txn *t = kv_mem_begin(m);
	struct state_key room;
	enum naming_owner owner;
	struct str key, name;

	ck_assert(!naming_address_key(&room, STR("host"), NAMING_OWNER_NODE, STR("n"), &key));
	ck_assert(naming_address_key(
		&room, STR("10.0.0.1"), NAMING_OWNER_SERVICE, STR("n\0web"), &key));
	kv_put(t, NAMING_ADDRESSES, key, STR("Web"));
	ck_assert(naming_address_find(t, "\x0a\0\0\x01", 4, &owner, &name));
	ck_assert_int_eq(owner, NAMING_OWNER_SERVICE);
	ck_str_is(name, "Web");
	ck_assert(naming_address_key(&room, STR("10.0.0.1"), NAMING_OWNER_NODE, STR("n2"), &key));
	kv_put(t, NAMING_ADDRESSES, key, STR("N2"));
	ck_assert(naming_address_key(&room, STR("10.0.0.1"), NAMING_OWNER_NODE, STR("n1"), &key));
	kv_put(t, NAMING_ADDRESSES, key, STR("N1"));
	ck_assert(naming_address_find(t, "\x0a\0\0\x01", 4, &owner, &name));
	ck_assert_int_eq(owner, NAMING_OWNER_NODE);
	ck_str_is(name, "N1");
	ck_assert(!naming_address_find(t, "\x0a\0\0\x02", 4, &owner, &name));
	kv_abort(t);
}
END_TEST

/* Every accessor on whatever bytes: refuses or gives something inside the record. */
static void walk(struct str record)
{
	struct naming_service s;
	struct naming_view v;
	struct naming_node n;
	struct naming_target t;
	struct naming_address a;

	(void)naming_node_open(record, &n);
	if (naming_service_open(record, &s) || naming_service_view(&s, STR("b"), &v)) {
		return;
	}
	for (int kind = 0; kind < NAMING_LISTS_COUNT; kind++) {
		for (uint32_t i = 0; i < v.lists[kind].count; i++) {
			if (kind >= NAMING_LIST_HOSTS) {
				(void)naming_list_target(&s, &v.lists[kind], i, &t);
			} else {
				a = naming_list_address(&s, &v.lists[kind], kind, i);
				ck_assert(a.bytes.p >= record.p &&
					  a.bytes.p + a.bytes.n <= record.p + record.n);
			}
		}
	}
}

TEST(test_damage)
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct naming_instance items[3] = { instance("n1", "h.example", 1, HEALTH_PASSING),
		instance("n2", "", 2, HEALTH_WARNING), instance("n3", "::1", 3, HEALTH_OTHER) };

	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		items[i].tags = (struct strs) { tags_ab, 2, true };
	}
	naming_service_encode(&b, items, ARRAY_SIZE(items));
	for (size_t n = 0; n <= b.n; n++) {
		char *exact = xmalloc(n + 1);

		memcpy(exact, b.p, n);
		walk(str_n(exact, n));
		free(exact);
	}
	for (size_t i = 0; i < b.n; i++) {
		static const uint8_t values[] = { 0x00, 0x01, 0x40, 0x7f, 0xff };

		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			char before = b.p[i];

			b.p[i] = (char)values[k];
			walk(buf_str(&b));
			b.p[i] = before;
		}
	}
}
END_TEST

TEST(test_names)
{
	char out[DNS_NAME_MAX], room[DNS_NAME_MAX], longest[256];
	size_t n;

	ck_assert_int_eq(naming_name_encode(STR("a.bc."), out, &n), 0);
	ck_str_is(str_n(out, n), "\x01"
				 "a\x02"
				 "bc");
	ck_assert_int_eq(naming_name_encode(STR(""), out, &n), ST_INVALID);
	ck_assert_int_eq(naming_name_encode(STR("."), out, &n), ST_INVALID);
	ck_assert_int_eq(naming_name_encode(STR("a..b"), out, &n), ST_INVALID);
	memset(longest, 'x', sizeof(longest));
	ck_assert_int_eq(naming_name_encode(str_n(longest, 63), out, &n), 0);
	ck_assert_int_eq(naming_name_encode(str_n(longest, 64), out, &n), ST_INVALID);
	for (size_t i = 1; i < sizeof(longest); i += 2) {
		longest[i] = '.';
	}
	ck_assert_int_eq(naming_name_encode(str_n(longest, 253), out, &n), 0);
	ck_assert_int_eq(naming_name_encode(str_n(longest, 255), out, &n), ST_INVALID);
	ck_assert_int_eq(naming_address_parse(STR("fe80::1"), room).kind, NAMING_V6);
	ck_assert_int_eq(naming_address_parse(STR("1.2.3.4.5"), room).kind, NAMING_HOST);
	ck_assert_int_eq(naming_address_parse(STR(""), room).kind, NAMING_NONE);
}
END_TEST

UNIT_MAIN("naming", test_groups, test_empty, test_node, test_long_text, test_addresses, test_damage,
	test_names)
