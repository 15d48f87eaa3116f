/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of sending a snapshot.
 */
#include "raftd/transfer.h"

#include "common/base/err.h"

static struct transfer *find(struct transfers *ts, const struct uuid *to)
{
	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		if (uuid_eq(&ts->rows[i].to, to)) {
			return &ts->rows[i];
		}
	}
	return NULL;
}

const struct transfer *transfer_find(const struct transfers *ts, const struct uuid *to)
{
	return uuid_is_zero(to) ? NULL : find((struct transfers *)ts, to);
}

static void clear(struct transfer *t)
{
	buf_fini(&t->configuration);
	*t = (struct transfer) { 0 };
}

void transfers_fini(struct transfers *ts)
{
	transfers_end(ts);
}

void transfers_end(struct transfers *ts)
{
	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		clear(&ts->rows[i]);
	}
}

static void fail(struct transfer *t, struct mono now, const char *why)
{
	t->state = TRANSFER_FAILED;
	t->why = why;
	t->until = mono_add_ms(now, TRANSFER_PAUSE_MS);
}

void transfer_begin(struct transfers *ts, struct mono now, const struct uuid *to, uint64_t index,
	uint64_t term, uint64_t configuration_index, struct str configuration)
{
	static const struct uuid nobody = { { 0 } };
	struct transfer *t;

	if (find(ts, to)) {
		return;
	}
	t = find(ts, &nobody);
	if (!t) {
		return; /* more servers than a configuration has */
	}
	*t = (struct transfer) {
		.to = *to,
		.index = index,
		.term = term,
		.configuration_index = configuration_index,
		.until = MONO_NEVER,
	};
	buf_put_str(&t->configuration, configuration);
	if (index == 0) {
		fail(t, now, "there is no snapshot");
	}
}

static bool is_running(const struct transfer *t)
{
	return t->state == TRANSFER_READS || t->state == TRANSFER_SENDS;
}

/* Lets those that wait begin, while there is room. */
static void admit(struct transfers *ts, struct mono now)
{
	size_t running = 0;

	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		running += !uuid_is_zero(&ts->rows[i].to) && is_running(&ts->rows[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ts->rows) && running < TRANSFERS_AT_ONCE; i++) {
		struct transfer *t = &ts->rows[i];

		if (!uuid_is_zero(&t->to) && t->state == TRANSFER_WAITS) {
			t->state = TRANSFER_READS;
			t->until = mono_add_ms(now, TRANSFER_REPLY_MS);
			running++;
		}
	}
}

static struct transfer_action read_action(struct transfers *ts, struct transfer *t)
{
	t->asked = true;
	t->number = ++ts->number;
	return (struct transfer_action) {
		.type = TRANSFER_READ,
		.to = t->to,
		.number = t->number,
		.index = t->index,
		.offset = t->offset,
		.bytes_max = t->size ? TRANSFER_CHUNK_MAX : 0,
	};
}

static struct transfer_action finish_action(struct transfer *t)
{
	struct transfer_action a = {
		.type = TRANSFER_FINISH,
		.to = t->to,
		.index = t->state == TRANSFER_DONE ? t->index : 0,
		.why = t->why,
	};

	clear(t);
	return a;
}

struct transfer_action transfers_next(struct transfers *ts, struct mono now)
{
	admit(ts, now);
	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		struct transfer *t = &ts->rows[i];
		bool over = !mono_before(now, t->until);

		if (uuid_is_zero(&t->to)) {
			continue;
		}
		if (is_running(t) && over) {
			fail(t, now, "no answer in time");
		} else if (t->state == TRANSFER_READS && !t->asked) {
			return read_action(ts, t);
		} else if (t->state == TRANSFER_DONE || (t->state == TRANSFER_FAILED && over)) {
			return finish_action(t);
		}
	}
	return (struct transfer_action) { .type = TRANSFER_NONE };
}

struct mono transfers_deadline(const struct transfers *ts)
{
	struct mono deadline = MONO_NEVER;

	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		if (!uuid_is_zero(&ts->rows[i].to)) {
			deadline = mono_min(deadline, ts->rows[i].until);
		}
	}
	return deadline;
}

const struct transfer *transfer_bytes(struct transfers *ts, struct mono now, uint64_t number,
	int status, uint64_t size, struct str bytes)
{
	struct transfer *t = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ts->rows); i++) {
		if (ts->rows[i].asked && ts->rows[i].number == number) {
			t = &ts->rows[i];
		}
	}
	if (!t || t->state != TRANSFER_READS) {
		return NULL;
	}
	t->asked = false;
	if (status) {
		fail(t, now,
			status == ST_NOT_FOUND ? "catalogd does not have it" : "catalogd is away");
		return NULL;
	}
	if (size == 0 || (t->size && (size != t->size || bytes.n == 0)) ||
		bytes.n > size - min_of(t->offset, size)) {
		fail(t, now, "it has changed");
		return NULL;
	}
	t->size = size;
	t->state = TRANSFER_SENDS;
	t->until = mono_add_ms(now, TRANSFER_REPLY_MS);
	t->chunks += bytes.n != 0;
	return t;
}

void transfer_reply(struct transfers *ts, struct mono now, const struct uuid *from, uint64_t index,
	int status, uint64_t wanted, bool installed)
{
	struct transfer *t = find(ts, from);

	if (!t || uuid_is_zero(from) || t->state != TRANSFER_SENDS || t->index != index) {
		return;
	}
	if (status) {
		fail(t, now, status == ST_CORRUPT ? "it arrived damaged" : "it was refused");
	} else if (installed) {
		t->state = TRANSFER_DONE;
		t->until = now;
	} else if (wanted >= t->size) {
		fail(t, now, "the other side asks for more than there is");
	} else if (wanted <= t->offset && ++t->stalls > TRANSFER_STALLS_MAX) {
		fail(t, now, "the other side does not get on");
	} else {
		t->stalls = wanted > t->offset ? 0 : t->stalls;
		t->offset = wanted;
		t->state = TRANSFER_READS;
		t->until = mono_add_ms(now, TRANSFER_REPLY_MS);
	}
}

void transfer_lost(struct transfers *ts, struct mono now, const struct uuid *to)
{
	struct transfer *t = find(ts, to);

	if (t && !uuid_is_zero(to) && is_running(t)) {
		t->asked = false;
		fail(t, now, "the connection broke");
	}
}
