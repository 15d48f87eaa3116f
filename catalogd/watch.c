/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed since: two halves of bounded size hold the newest changes, batch by batch; when the
 * newer half is full the older one is forgotten. Whoever asks from further back, or from before a
 * batch that was too large to be kept, is told that he has lost track and looks at everything once.
 */
#include "catalogd/catalogd.h"

/* Of one batch: what has more is not told name by name, since an answer must fit into a frame. */
enum { BATCH_BYTES_MAX = 8 << 20, CHANGE_HEAD_SIZE = 3 };

struct batch {
	uint64_t index;
	size_t offset;
};

struct watcher {
	struct list link;
	struct catalogd *c;
	struct ipc_call *call;
	uint64_t after;
	struct loop_timer timer;
};

static size_t batches_count(const struct watch_half *h)
{
	return h->batches.n / sizeof(struct batch);
}

static const struct batch *batch_at(const struct watch_half *h, size_t i)
{
	return (const struct batch *)(const void *)h->batches.p + i;
}

void watches_init(struct catalogd *c)
{
	list_init(&c->watches.watchers);
}

static void watcher_free(struct watcher *w)
{
	list_del(&w->link);
	loop_timer_stop(&w->timer);
	w->c->watches.watchers_count--;
	free(w);
}

void watches_fini(struct catalogd *c)
{
	struct watcher *w, *following;

	list_for_each_safe (w, following, &c->watches.watchers, link) {
		watcher_free(w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(c->watches.halves); i++) {
		buf_fini(&c->watches.halves[i].bytes);
		buf_fini(&c->watches.halves[i].batches);
	}
}

static void change_read(struct cursor *cursor, struct thing_change *out)
{
	out->kind = cursor_u8(cursor);
	out->name = cursor_take(cursor, cursor_u16(cursor));
}

/* Appends the changes of the batches behind `after`. */
static void collect(const struct watch_half *h, uint64_t after, struct arena *arena,
	struct thing_change **items, uint32_t *count, uint32_t *room)
{
	size_t low = 0, high = batches_count(h);
	struct cursor cursor;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (batch_at(h, middle)->index <= after) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	if (low == batches_count(h)) {
		return;
	}
	cursor = cursor_of(str_skip(buf_str(&h->bytes), batch_at(h, low)->offset));
	while (cursor_left(&cursor)) {
		*items = wire_list_room(arena, *items, *count, room, sizeof(**items));
		change_read(&cursor, &(*items)[(*count)++]);
	}
}

static void reply(struct catalogd *c, struct ipc_call *call, uint64_t after, bool lost)
{
	OWN_EMBEDDED(arena_fini) struct arena arena = { 0 };
	struct catalog_watch_reply r = {
		.generation = c->stores.generation, .index = c->feed.applied, .lost = lost
	};
	uint32_t room = 0;

	for (size_t i = 0; i < ARRAY_SIZE(c->watches.halves) && !lost; i++) {
		collect(&c->watches.halves[i], after, &arena, &r.changes.items, &r.changes.count,
			&room);
	}
	IPC_REPLY(call, catalog_watch, &r);
}

static void on_timeout(void *arg)
{
	struct watcher *w = arg;

	reply(w->c, w->call, w->after, false);
	watcher_free(w);
}

static uint64_t newest(const struct watches *w)
{
	for (size_t i = ARRAY_SIZE(w->halves); i-- > 0;) {
		size_t count = batches_count(&w->halves[i]);

		if (count) {
			return batch_at(&w->halves[i], count - 1)->index;
		}
	}
	return w->floor;
}

void handle_watch(struct catalogd *c, struct ipc_call *call, const struct catalog_watch *m)
{
	bool lost = m->generation != c->stores.generation || m->after < c->watches.floor ||
		    m->after > c->feed.applied;
	struct watcher *w;

	if (lost || newest(&c->watches) > m->after || !m->wait_ms) {
		reply(c, call, m->after, lost);
		return;
	}
	if (c->watches.watchers_count >= WATCHERS_MAX) {
		ipc_refuse(call, ST_FULL);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->c = c;
	w->call = call;
	w->after = m->after;
	loop_timer_init(&w->timer, c->daemon->loop, on_timeout, w);
	loop_timer_in(&w->timer, m->wait_ms);
	list_add_tail(&c->watches.watchers, &w->link);
	c->watches.watchers_count++;
}

static void tell_all(struct catalogd *c, bool lost)
{
	struct watcher *w, *following;

	list_for_each_safe (w, following, &c->watches.watchers, link) {
		reply(c, w->call, w->after, lost);
		watcher_free(w);
	}
}

void watches_reset(struct catalogd *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->watches.halves); i++) {
		buf_clear(&c->watches.halves[i].bytes);
		buf_clear(&c->watches.halves[i].batches);
	}
	c->watches.floor = c->feed.applied;
	tell_all(c, true);
}

/* The newer half becomes the older one. */
static void turn(struct watches *w)
{
	struct watch_half older = w->halves[0];
	size_t count = batches_count(&older);

	if (count) {
		w->floor = batch_at(&older, count - 1)->index;
	}
	w->halves[0] = w->halves[1];
	buf_trim(&older.bytes, CHANGES_BYTES_MAX);
	buf_trim(&older.batches, CHANGES_BYTES_MAX);
	w->halves[1] = older;
}

static size_t changes_size(const struct catalog_change *changes, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		bytes += CHANGE_HEAD_SIZE + changes[i].name.n;
	}
	return bytes;
}

void watches_add(
	struct catalogd *c, uint64_t index, const struct catalog_change *changes, size_t count)
{
	struct watch_half *h = &c->watches.halves[1];
	struct batch batch = { .index = index, .offset = h->bytes.n };

	if (!count) {
		return;
	}
	if (changes_size(changes, count) > BATCH_BYTES_MAX) {
		watches_reset(c);
		return;
	}
	buf_put(&h->batches, &batch, sizeof(batch));
	for (size_t i = 0; i < count; i++) {
		buf_put_u8(&h->bytes, (uint8_t)changes[i].kind);
		buf_put_u16(&h->bytes, (uint16_t)changes[i].name.n);
		buf_put_str(&h->bytes, changes[i].name);
	}
	tell_all(c, false);
	if (h->bytes.n + h->batches.n > CHANGES_BYTES_MAX) {
		turn(&c->watches);
	}
}
