/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd's wire codec against packets captured between stock Serf and Consul agents and against
 * output of the original library (gossip_vectors/): every layer is taken off and compared with what
 * an independent decoder found, every message is decoded and encoded again to the same bytes.
 */
#include <dirent.h>

#include "gossipd/core/lzw.h"
#include "gossipd/core/packet.h"
#include "gossipd/core/serf_message.h"
#include "gossipd/seal.h"
#include "tests/unit/unit.h"

enum { LAYERS_MAX = 8, MESSAGE_MAX = 256, LINE_MAX_SIZE = 400000 };

struct vector {
	char name[MESSAGE_MAX];
	bool tcp;
	struct keyring keyring;
	struct buf layers[LAYERS_MAX]; /* outermost first */
	const char *kinds[LAYERS_MAX];
	size_t count;
};

static void hex_append(struct buf *out, struct str hex)
{
	ck_assert_uint_eq(hex.n % 2, 0);
	buf_reserve(out, hex.n / 2);
	ck_assert_int_eq(hex_parse(hex, out->p + out->n, hex.n / 2), 0);
	out->n += hex.n / 2;
}

static FILE *vectors_open(const char *name)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/gossip_vectors/%s", getenv("MUSTER_UNIT_DIR"), name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	return f;
}

static const char *layer_kind(const char *line)
{
	static const char *const kinds[] = {
		"wire:", "after-label:", "after-decrypt:", "after-crc:", "after-decompress:"
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strncmp(line, kinds[i], strlen(kinds[i])) == 0) {
			return kinds[i];
		}
	}
	return NULL;
}

static void vector_line(struct vector *v, const char *line, bool *inside)
{
	OWN_EMBEDDED(buf_fini) struct buf key = { 0 };
	const char *kind = layer_kind(line);

	if (kind) {
		v->kinds[v->count++] = kind;
		*inside = true;
	} else if (!*line) {
		*inside = false;
	} else if (*inside) {
		hex_append(&v->layers[v->count - 1], str_of(line));
	} else if (strncmp(line, "key: ", 5) == 0) {
		hex_append(&key, str_of(line + 5));
		ck_assert_int_eq(keyring_install(&v->keyring, buf_str(&key), NULL), 0);
	} else if (strcmp(line, "transport: tcp") == 0) {
		v->tcp = true;
	}
}

static void vector_load(struct vector *v, const char *name)
{
	static char line[LINE_MAX_SIZE];
	FILE *f = vectors_open(name);
	bool inside = false;

	*v = (struct vector) { .count = 0 };
	snprintf(v->name, sizeof(v->name), "%s", name);
	while (fgets(line, sizeof(line), f) && strcmp(line, "decoded:\n") != 0) {
		line[strcspn(line, "\n")] = '\0';
		vector_line(v, line, &inside);
	}
	fclose(f);
}

static void vector_fini(struct vector *v)
{
	for (size_t i = 0; i < v->count; i++) {
		buf_fini(&v->layers[i]);
	}
}

/* -------- decoding and encoding again -------- */

static union {
	struct swim_ping ping;
	struct swim_node_state state;
	struct serf_query query;
	struct serf_state serf;
	struct serf_conflict conflict;
	char room[1024];
} message;

static size_t messages_seen;

/* exact: this generation of the codec writes what we write. */
static size_t again(struct str body, const struct pack_schema *schema, bool exact)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct cursor c = cursor_of(body);
	size_t used;

	unpack_struct(&c, schema, &message);
	ck_assert(!c.bad);
	used = body.n - cursor_left(&c);
	pack_struct(&out, schema, &message);
	if (exact) {
		ck_assert(str_eq(buf_str(&out), str_cut(body, used)));
	}
	messages_seen++;
	return used;
}

static const struct pack_schema *const serf_schemas[] = { [SERF_LEAVE] = &serf_leave_schema,
	[SERF_JOIN] = &serf_join_schema,
	[SERF_PUSH_PULL] = &serf_state_schema,
	[SERF_EVENT] = &serf_event_schema,
	[SERF_QUERY] = &serf_query_schema,
	[SERF_RESPONSE] = &serf_response_schema,
	[SERF_CONFLICT] = &serf_conflict_schema,
	[SERF_KEY_REQUEST] = &serf_key_request_schema,
	[SERF_KEY_RESPONSE] = &serf_key_response_schema,
	[SERF_RELAY] = &serf_relay_schema };

static void serf_again(struct str bytes, bool exact)
{
	uint8_t type = (uint8_t)bytes.p[0];
	struct str body = str_skip(bytes, 1), payload = STR_NONE, name = STR_NONE;
	size_t used;

	ck_assert_uint_lt(type, ARRAY_SIZE(serf_schemas));
	if (type == SERF_CONFLICT && body.n == 1) {
		return;
	}
	used = again(body, serf_schemas[type], exact);
	if (type == SERF_RELAY) {
		serf_again(str_skip(body, used), exact);
		return;
	}
	ck_assert_uint_eq(used, body.n);
	if (type == SERF_QUERY) {
		payload = message.query.payload;
		name = message.query.name;
	} else if (type == SERF_RESPONSE) {
		payload = ((struct serf_response *)&message)->payload;
	}
	if (payload.n > 1 && (uint8_t)payload.p[0] >= SERF_CONFLICT &&
		(uint8_t)payload.p[0] <= SERF_KEY_RESPONSE && !str_is(name, "_serf_conflict")) {
		serf_again(payload, exact);
	}
}

static const struct pack_schema *const swim_schemas[] = { [SWIM_PING] = &swim_ping_schema,
	[SWIM_INDIRECT_PING] = &swim_indirect_ping_schema,
	[SWIM_ACK] = &swim_ack_schema,
	[SWIM_SUSPECT] = &swim_accusation_schema,
	[SWIM_ALIVE] = &swim_alive_schema,
	[SWIM_DEAD] = &swim_accusation_schema,
	[SWIM_NACK] = &swim_nack_schema,
	[SWIM_ERR] = &swim_err_schema };

static void push_pull_again(struct str body, bool exact)
{
	size_t at = again(body, &swim_push_pull_schema, exact);
	const struct swim_push_pull header = *(const struct swim_push_pull *)&message;

	for (uint32_t i = 0; i < header.nodes; i++) {
		at += again(str_skip(body, at), &swim_node_state_schema, exact);
	}
	ck_assert_uint_eq(body.n - at, header.user_state_size);
	if (header.user_state_size) {
		serf_again(str_skip(body, at), exact);
	}
}

static void on_message(void *arg, uint8_t type, struct str body)
{
	const bool *exact = arg;

	if (type == SWIM_USER) {
		serf_again(body, *exact);
	} else if (type == SWIM_PUSH_PULL) {
		push_pull_again(body, *exact);
	} else {
		ck_assert(type < ARRAY_SIZE(swim_schemas) && swim_schemas[type]);
		ck_assert_uint_eq(again(body, swim_schemas[type], *exact), body.n);
	}
}

/* What is written again as it was. */
struct exactness {
	bool messages, compression;
};

static void stream_check(struct str plain, struct str innermost, struct exactness exact)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 }, back = { 0 };
	struct stream_scan scan = { 0 };
	size_t size = 0;
	uint8_t type;
	struct str body;

	for (size_t n = 0; n < plain.n; n++) {
		ck_assert_int_eq(stream_scan(&scan, str_cut(plain, n), &size), ST_AGAIN);
	}
	ck_assert_int_eq(stream_scan(&scan, plain, &size), 0);
	ck_assert_uint_eq(size, plain.n);
	ck_assert_int_eq(stream_open(plain, &room, &type, &body), 0);
	ck_assert(str_eq(str_skip(innermost, 1), body));
	if (!room.n || exact.compression) {
		stream_put(&back, innermost, room.n);
		ck_assert(str_eq(buf_str(&back), plain));
	}
	on_message(&exact.messages, type, body);
}

static bool has_layer(const struct vector *v, const char *kind)
{
	for (size_t i = 0; i < v->count; i++) {
		if (strcmp(v->kinds[i], kind) == 0) {
			return true;
		}
	}
	return false;
}

struct parts {
	struct str items[PACKET_PARTS_MAX];
	size_t count;
};

static void on_part(void *arg, uint8_t type, struct str body)
{
	struct parts *parts = arg;

	(void)type; /* stands before the body */
	parts->items[parts->count++] = str_n(body.p - 1, body.n + 1);
}

static void packet_check(
	const struct vector *v, struct str plain, struct str innermost, struct exactness exact)
{
	OWN_EMBEDDED(buf_fini) struct buf back = { 0 };
	static struct parts parts;
	struct packet_form form = { has_layer(v, "after-decompress:"), has_layer(v, "after-crc:") };

	ck_assert_int_eq(packet_walk(plain, on_message, &exact.messages), 0);
	if (form.compress && !exact.compression) {
		return;
	}
	parts.count = 0;
	ck_assert_int_eq(packet_walk(innermost, on_part, &parts), 0);
	packet_put(&back, parts.items, parts.count, form);
	ck_assert(str_eq(buf_str(&back), plain));
}

/* Takes the encryption off and, where the nonce is known, puts it on again. */
static struct str unsealed(struct vector *v, struct str bytes, struct str label, struct buf *room)
{
	OWN_EMBEDDED(seal_fini) struct seal seal;
	OWN_EMBEDDED(buf_fini) struct buf back = { 0 };
	size_t nonce_at = v->tcp ? SEAL_STREAM_HEADER + 1 : 1;
	struct seal_form form = { .version = (uint8_t)bytes.p[nonce_at - 1],
		.nonce = bytes.p + nonce_at,
		.label = label };
	bool same;

	seal_init(&seal, &v->keyring);
	ck_assert_int_eq(v->tcp ? unseal_stream(&seal, label, bytes, room)
				: unseal_packet(&seal, label, bytes, room),
		0);
	for (uint32_t i = 0; i < v->keyring.count; i++) {
		keyring_use(&v->keyring, keyring_at(&v->keyring, v->keyring.count - 1), NULL);
		buf_clear(&back);
		(v->tcp ? seal_stream : seal_packet)(&seal, &form, buf_str(room), &back);
		same = str_eq(buf_str(&back), bytes);
		if (same) {
			return buf_str(room);
		}
	}
	ck_abort_msg("%s: sealed differently", v->name);
}

static void vector_check(struct vector *v)
{
	OWN_EMBEDDED(buf_fini) struct buf room = { 0 };
	struct str bytes = buf_str(&v->layers[0]), label;
	struct str innermost = buf_str(&v->layers[v->count - 1]);
	/* go-msgpack of the second generation (cap-85, cap-86) writes signed integers; the Go that
	 * Consul 1.8.7 was built with writes no first clear. */
	struct exactness exact = { !strstr(v->name, "gomsgpack-v2"), !strstr(v->name, "consul") };
	size_t at = 1;

	ck_assert_int_eq(packet_label_cut(&bytes, &label), 0);
	at += at < v->count && strcmp(v->kinds[at], "after-label:") == 0;
	if (v->keyring.count) {
		bytes = unsealed(v, bytes, label, &room);
		ck_assert(str_eq(bytes, buf_str(&v->layers[at])));
	}
	if (v->tcp) {
		stream_check(bytes, innermost, exact);
	} else {
		packet_check(v, bytes, innermost, exact);
	}
}

TEST(captured_packets)
{
	char path[1024];
	struct dirent *entry;
	static struct vector v;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/gossip_vectors", getenv("MUSTER_UNIT_DIR"));
	dir = opendir(path);
	ck_assert(dir != NULL);
	while ((entry = readdir(dir))) {
		if (str_ends(str_of(entry->d_name), STR(".vec"))) {
			vector_load(&v, entry->d_name);
			vector_check(&v);
			vector_fini(&v);
			count++;
		}
	}
	closedir(dir);
	ck_assert_uint_eq(count, 79);
	ck_assert_uint_eq(messages_seen, 140);
}
END_TEST

/* name, [meaning,] hex */
static void on_lines(
	const char *file, void (*check)(const char *name, struct buf *a, struct buf *b))
{
	static char line[LINE_MAX_SIZE];
	FILE *f = vectors_open(file);

	while (fgets(line, sizeof(line), f)) {
		OWN_EMBEDDED(buf_fini) struct buf a = { 0 }, b = { 0 };
		struct str second, third, first;

		line[strcspn(line, "\n")] = '\0';
		first = str_split(str_of(line), '\t', &second);
		second = str_split(second, '\t', &third);
		if (line[0] == '#' || !third.p) {
			continue;
		}
		if (strcmp(file, "lzw.txt") == 0) {
			hex_append(&a, second);
		}
		hex_append(&b, third);
		line[first.n] = '\0';
		check(line, &a, &b);
	}
	fclose(f);
}

static void check_lzw(const char *name, struct buf *plain, struct buf *packed)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 }, back = { 0 };

	lzw_encode(&out, buf_str(plain));
	ck_assert_msg(str_eq(buf_str(&out), buf_str(packed)), "%s", name);
	ck_assert_int_eq(lzw_decode(&back, buf_str(packed), plain->n), 0);
	ck_assert_msg(str_eq(buf_str(&back), buf_str(plain)), "%s", name);
	ck_assert_int_eq(lzw_decode(&back, buf_str(packed), plain->n - 1), ST_TOO_LARGE);
	ck_assert_int_ne(lzw_decode(&back, str_cut(buf_str(packed), packed->n - 2), plain->n), 0);
}

TEST(lzw_vectors)
{
	on_lines("lzw.txt", check_lzw);
}
END_TEST

static void check_message(const char *name, struct buf *unused, struct buf *bytes)
{
	bool exact = true;

	(void)unused;
	if (strcmp(name, "pushpull-hdr") == 0) {
		again(str_skip(buf_str(bytes), 1), &swim_push_pull_schema, true);
	} else if (strcmp(name, "userhdr") == 0) {
		again(str_skip(buf_str(bytes), 1), &swim_user_header_schema, true);
	} else {
		ck_assert_int_eq(packet_walk(buf_str(bytes), on_message, &exact), 0);
	}
}

TEST(library_messages)
{
	on_lines("messages.txt", check_message);
}
END_TEST

/* What must be accepted although nobody here writes it (and what must not). */
TEST(tolerance)
{
	static const struct {
		struct str bytes;
		bool good;
		uint32_t incarnation;
		const char *node;
	} rows[] = {
		/* array form, keys in another order with a wide and a signed integer, str8, bin */
		{ STR("\x93\x07\xa2n1\xa2n2"), true, 7, "n1" },
		{ STR("\x82\xa4Node\xd9\x02n1\xabIncarnation\xcf\0\0\0\0\0\0\0\x09"), true, 9,
			"n1" },
		{ STR("\x82\xa4Node\xc4\x02n1\xabIncarnation\xd1\x00\x09"), true, 9, "n1" },
		/* unknown keys with nested values, nil for zero */
		{ STR("\x83\xa1x\x92\x81\x01\xc0\xc3\xa4Node\xa2n1\xabIncarnation\xc0"), true, 0,
			"n1" },
		{ STR("\x80"), true, 0, "" },
		{ STR("\xc0"), true, 0, "" },
		{ STR("\x81\xabIncarnation\xcf\0\0\0\1\0\0\0\0"), false, 0, "" }, /* too wide */
		{ STR("\x81\xabIncarnation\xff"), false, 0, "" },		  /* below 0 */
		{ STR("\x81\xa4Node\x05"), false, 0, "" },
		{ STR("\x82\xa4Node\xa2n1"), false, 0, "" },
		{ STR("\x81\xa4Node\xdb\xff\xff\xff\xff"), false, 0, "" },
		{ STR("\xdf\xff\xff\xff\xff"), false, 0, "" },
		{ STR("\x81\xa1x\xdd\xff\xff\xff\xff"), false, 0, "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct swim_accusation m;
		int r = swim_get(rows[i].bytes, &swim_accusation_schema, &m);

		ck_assert_msg((r == 0) == rows[i].good, "row %zu", i);
		if (r == 0) {
			ck_assert_uint_eq(m.incarnation, rows[i].incarnation);
			ck_str_is(m.node, rows[i].node);
		}
	}
}
END_TEST

static void on_counted(void *arg, uint8_t type, struct str body)
{
	size_t *count = arg;

	ck_assert_uint_eq(type, SWIM_NACK);
	ck_assert_uint_eq(body.n, 9);
	++*count;
}

TEST(layers)
{
	OWN_EMBEDDED(buf_fini) struct buf out = { 0 };
	struct str nack = STR("\x0b\x81\xa5SeqNo\x01\x00"), many[PACKET_PARTS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = nack;
	}
	packet_put(&out, many, ARRAY_SIZE(many), (struct packet_form) { true, true });
	ck_assert_uint_lt(out.n, 400);
	ck_assert_int_eq(packet_walk(buf_str(&out), on_counted, &count), 0);
	ck_assert_uint_eq(count, PACKET_PARTS_MAX);
	out.p[out.n - 1] ^= 1;
	ck_assert_int_eq(packet_walk(buf_str(&out), on_counted, &count), ST_CORRUPT);
	buf_clear(&out);
	packet_put(&out, many, 3, (struct packet_form) { 0 });
	count = 0;
	ck_assert_int_eq(
		packet_walk(str_cut(buf_str(&out), out.n - 1), on_counted, &count), ST_TRUNCATED);
	ck_assert_uint_eq(count, 2);
	buf_clear(&out);
	packet_put(&out, many, 1, (struct packet_form) { .compress = true }); /* would grow */
	ck_assert(str_eq(buf_str(&out), nack));
}
END_TEST

TEST(keyring_rules)
{
	OWN_EMBEDDED(buf_fini) struct buf why = { 0 }, text = { 0 };
	struct str a = STR("aaaaaaaaaaaaaaaa"), b = STR("bbbbbbbbbbbbbbbbbbbbbbbb"),
		   c = STR("cccccccccccccccccccccccccccccccc");
	struct keyring k = { 0 }, back;

	ck_assert_int_eq(keyring_install(&k, STR("short"), &why), ST_INVALID);
	ck_buf_is(&why, "key size must be 16, 24 or 32 bytes");
	ck_assert_int_eq(keyring_install(&k, a, NULL), 0);
	ck_assert_int_eq(keyring_install(&k, b, NULL), 0);
	ck_assert_int_eq(keyring_install(&k, c, NULL), 0);
	ck_assert_int_eq(keyring_install(&k, b, NULL), 0);
	ck_assert_uint_eq(k.count, 3);
	ck_assert_int_eq(keyring_use(&k, c, NULL), 0);
	ck_assert(str_eq(keyring_at(&k, 0), c) && str_eq(keyring_at(&k, 1), a));
	buf_clear(&why);
	ck_assert_int_eq(keyring_remove(&k, c, &why), ST_INVALID);
	ck_buf_is(&why, "Removing the primary key is not allowed");
	ck_assert_int_eq(keyring_remove(&k, a, NULL), 0);
	ck_assert_int_eq(keyring_remove(&k, a, NULL), 0);
	ck_assert_int_eq(keyring_use(&k, a, NULL), ST_INVALID);
	keyring_render(&k, &text);
	ck_buf_is(&text, "[\n  \"Y2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2NjY2M=\",\n"
			 "  \"YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJi\"\n]");
	ck_assert_int_eq(keyring_parse(buf_str(&text), &back, NULL), 0);
	ck_assert_uint_eq(back.count, 2);
	ck_assert(str_eq(keyring_at(&back, 1), b));
	ck_assert_int_eq(keyring_parse(STR("[]"), &back, &why), ST_INVALID);
	ck_assert_int_eq(keyring_parse(STR("[\"YQ==\"]"), &back, &why), ST_INVALID);
}
END_TEST

UNIT_MAIN("gossip_wire", captured_packets, lzw_vectors, library_messages, tolerance, layers,
	keyring_rules)
