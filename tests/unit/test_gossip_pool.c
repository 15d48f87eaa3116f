/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gossipd's pool against the numbers of the original library (gossip_vectors/): Vivaldi coordinates
 * and the formulas of timeouts; and the queue of broadcasts.
 */
#include <math.h>

#include "common/base/json.h"
#include "gossipd/core/pool_private.h"
#include "gossipd/core/snapshot.h"
#include "tests/unit/unit.h"

static FILE *vectors_open(const char *name)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof(path), "%s/gossip_vectors/%s", getenv("MUSTER_UNIT_DIR"), name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	return f;
}

/* -------- coordinates -------- */

static double number(const struct json *object, const char *key)
{
	return strtod(json_find(object, key)->text.p, NULL);
}

static void coordinate_of(const struct json *v, struct vivaldi_coordinate *out)
{
	const struct json *item;
	int i = 0;

	json_for_each (item, json_find(v, "Vec")) {
		out->vec[i++] = strtod(item->text.p, NULL);
	}
	out->error = number(v, "Error");
	out->adjustment = number(v, "Adjustment");
	out->height = number(v, "Height");
}

static void ck_coordinate(const struct vivaldi_coordinate *a, const struct vivaldi_coordinate *b)
{
	for (int i = 0; i < VIVALDI_DIMENSIONS; i++) {
		ck_assert(a->vec[i] == b->vec[i]);
	}
	ck_assert(a->error == b->error);
	ck_assert(a->adjustment == b->adjustment);
	ck_assert(a->height == b->height);
}

static struct vivaldi_latencies latencies[8];
static char peers[8][16];

static struct vivaldi_latencies *latencies_of(struct str peer)
{
	for (size_t i = 0; i < ARRAY_SIZE(peers); i++) {
		if (!peers[i][0]) {
			snprintf(peers[i], sizeof(peers[i]), STR_FMT, STR_ARG(peer));
		}
		if (str_is(peer, peers[i])) {
			return &latencies[i];
		}
	}
	ck_abort_msg("too many peers");
}

TEST(vivaldi_vectors)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf payload = { 0 };
	static char text[65536];
	FILE *f = vectors_open("vivaldi.json");
	struct vivaldi_coordinate other, after, back;
	const struct json *step;
	struct json *tree;
	struct vivaldi v;
	struct rng rng;
	size_t count = 0, n = fread(text, 1, sizeof(text), f);

	fclose(f);
	ck_assert_int_eq(json_parse(&arena, str_n(text, n), &tree, NULL), 0);
	rng_init(&rng, 1);
	vivaldi_init(&v);
	coordinate_of(json_find(tree, "start"), &v.at);
	json_for_each (step, json_find(tree, "steps")) {
		coordinate_of(json_find(step, "other"), &other);
		coordinate_of(json_find(step, "after"), &after);
		/* A round trip out of bounds changes nothing. */
		vivaldi_update(&v, latencies_of(json_find_text(step, "peer")), &other,
			number(step, "rtt_ns") / 1e9, &rng);
		ck_coordinate(&v.at, &after);
		ck_assert_int_eq((int64_t)round(vivaldi_distance(&v.at, &other) * 1e9),
			(int64_t)number(step, "distance_after_ns"));
		count++;
	}
	ck_assert_uint_eq(count, 12);
	vivaldi_put(&v.at, &payload);
	ck_assert_uint_eq(payload.n, 130);
	ck_assert_int_eq(vivaldi_get(buf_str(&payload), &back), 0);
	ck_coordinate(&v.at, &back);
	back.vec[3] = (double)NAN;
	ck_assert_int_eq(vivaldi_update(&v, &latencies[0], &back, 0.01, &rng), ST_INVALID);
	ck_assert_int_eq(vivaldi_update(&v, &latencies[0], &after, 11, &rng), ST_INVALID);
}
END_TEST

/* -------- formulas -------- */

static int64_t ms_of(const char *duration)
{
	int64_t ns = -1;

	ck_assert_msg(duration_parse(str_of(duration), &ns, NULL) == 0, "%s", duration);
	return ns / NS_PER_MS;
}

TEST(formulas)
{
	FILE *f = vectors_open("formulas.txt");
	char line[256], a[32], b[32], c[32], d[32];
	unsigned mult, n, k, result, seen = 0;
	static struct pool p;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "suspicionTimeout mult=%u n=%u interval=%31s -> %31s", &mult, &n,
			    a, b) == 4) {
			ck_assert_int_eq(suspicion_min_ms(mult, n, ms_of(a)), ms_of(b));
			seen |= 1;
		} else if (sscanf(line, "retransmitLimit mult=%u n=%u -> %u", &mult, &n, &result) ==
			   3) {
			p.options.profile.retransmit_mult = mult;
			ck_assert_uint_eq(retransmit_limit(&p, n), result);
			seen |= 2;
		} else if (sscanf(line, "pushPullScale %31s n=%u -> %31s", a, &n, b) == 3) {
			ck_assert_int_eq(sync_interval_ms(ms_of(a), n), ms_of(b));
			seen |= 4;
		} else if (sscanf(line,
				   "remainingSuspicionTime n=%u k=%u elapsed=%31s min=%31s "
				   "max=%31s "
				   "-> %31s",
				   &n, &k, a, b, c, d) == 6) {
			ck_assert_int_eq(suspicion_timeout_ms(ms_of(b), ms_of(c), n, k) - ms_of(a),
				ms_of(d));
			seen |= 8;
		}
	}
	fclose(f);
	ck_assert_uint_eq(seen, 15);
}
END_TEST

/* -------- queue -------- */

static size_t take_all(struct queue *q, size_t room, uint32_t limit, struct str *first)
{
	struct queue_room left = { room, 2, QUEUE_TIERS };
	static struct queue_pick pick;

	pick.count = 0;
	queue_take(q, &pick, &left);
	if (pick.count) {
		*first = pick.messages[0];
	}
	queue_sent(q, &pick, limit);
	return pick.count;
}

TEST(queue_order_and_limits)
{
	struct broadcast *a = NULL, *b = NULL;
	struct queue q;
	struct str first;

	queue_init(&q, 3);
	queue_add(&q, STR("aaaa"), &a);
	queue_add(&q, STR("bbbb"), &b);
	ck_assert_uint_eq(take_all(&q, 6, 2, &first), 1); /* the newest, room for one */
	ck_assert(first.p == b->bytes);
	ck_assert_uint_eq(take_all(&q, 6, 2, &first), 1); /* the one sent less */
	ck_assert(first.p == a->bytes);
	queue_add(&q, STR("cccc"), &a); /* replaces */
	ck_assert_uint_eq(q.count, 2);
	ck_assert_uint_eq(take_all(&q, 100, 2, &first), 2);
	ck_assert(b == NULL && a != NULL); /* b was sent twice */
	queue_add(&q, STR("d"), NULL);
	queue_add(&q, STR("e"), NULL);
	queue_add(&q, STR("f"), NULL);
	ck_assert_uint_eq(q.count, 3);
	ck_assert(a == NULL); /* sent most: dropped at the ceiling */
	queue_fini(&q);
	ck_assert_uint_eq(q.count, 0);
}
END_TEST

/* -------- snapshot -------- */

TEST(a_snapshot_whose_last_line_is_torn)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct snapshot s;

	snapshot_parse(STR("alive: a b 10.0.0.1:7\nalive: c 10.0.0.2:7\nclock: 120\n"
			   "event-clock: 7\nquery-clock: 3\n#incarnation: 9\nnot-alive: c\n"
			   "clock: 125\nevent-clock: 8\n#incarnation: 10\nclock: 1"),
		&arena, &s);
	ck_assert_uint_eq(s.members_count, 1);
	ck_str_is(s.members[0].name, "a b");
	ck_str_is(s.members[0].address, "10.0.0.1:7");
	ck_assert_uint_eq(s.clocks.member, 125);
	ck_assert_uint_eq(s.clocks.event, 8);
	ck_assert_uint_eq(s.clocks.query, 3);
	ck_assert_uint_eq(s.incarnation, 10);
	ck_assert(!s.left);
}
END_TEST

UNIT_MAIN("gossip_pool", vivaldi_vectors, formulas, queue_order_and_limits,
	a_snapshot_whose_last_line_is_torn)
