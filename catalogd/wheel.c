/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slots are walked as time passes; an item that is due in a later turn of the wheel is passed
 * by.
 */
#include "catalogd/wheel.h"

static uint64_t tick_of(struct mono t)
{
	return (uint64_t)(t.ns / NS_PER_MS / WHEEL_TICK_MS);
}

void wheel_del(struct wheel *w, struct wheel_item *item)
{
	if (!list_linked(&item->link)) {
		return;
	}
	list_del(&item->link);
	if (--w->count == 0) {
		loop_timer_stop(&w->timer);
	}
}

void wheel_arm(struct wheel *w, struct wheel_item *item, int64_t ms)
{
	wheel_del(w, item);
	item->deadline = mono_add_ms(loop_now(w->loop), ms);
	list_add_tail(&w->slots[(tick_of(item->deadline) + 1) % WHEEL_SLOTS], &item->link);
	if (w->count++ == 0) {
		w->tick = tick_of(loop_now(w->loop));
		loop_timer_in(&w->timer, WHEEL_TICK_MS);
	}
}

static void slot_run(struct wheel *w, struct list *slot, struct mono now)
{
	struct list due;
	struct wheel_item *item, *following;

	list_init(&due);
	list_for_each_safe (item, following, slot, link) {
		if (!mono_before(now, item->deadline)) {
			list_del(&item->link);
			list_add_tail(&due, &item->link);
		}
	}
	while ((item = list_first(&due, struct wheel_item, link))) {
		wheel_del(w, item);
		w->on_due(w->arg, item);
	}
}

static void on_tick(void *arg)
{
	struct wheel *w = arg;
	struct mono now = loop_now(w->loop);
	uint64_t tick = tick_of(now), behind = min_of(tick - w->tick, (uint64_t)WHEEL_SLOTS);

	loop_timer_in(&w->timer, WHEEL_TICK_MS);
	w->tick = tick;
	for (uint64_t i = tick - behind + 1; i <= tick; i++) {
		slot_run(w, &w->slots[i % WHEEL_SLOTS], now);
	}
	if (!w->count) {
		loop_timer_stop(&w->timer);
	}
}

void wheel_init(struct wheel *w, struct loop *loop,
	void (*on_due)(void *arg, struct wheel_item *item), void *arg)
{
	*w = (struct wheel) { .loop = loop, .on_due = on_due, .arg = arg };
	for (size_t i = 0; i < WHEEL_SLOTS; i++) {
		list_init(&w->slots[i]);
	}
	loop_timer_init(&w->timer, loop, on_tick, w);
}

void wheel_fini(struct wheel *w)
{
	loop_timer_stop(&w->timer);
}
