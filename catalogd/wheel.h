/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many deadlines, one timer: slots of a tenth of a second. An item is embedded in what it belongs
 * to; it runs within a tenth of a second after its deadline, however far away that is, and is out
 * of the wheel then.
 */
#ifndef MUSTER_CATALOGD_WHEEL_H
#define MUSTER_CATALOGD_WHEEL_H

#include "common/base/list.h"
#include "common/sys/loop.h"

enum { WHEEL_SLOTS = 1024, WHEEL_TICK_MS = 100 };

struct wheel_item {
	struct list link;
	struct mono deadline;
};

struct wheel {
	struct list slots[WHEEL_SLOTS];
	struct loop *loop;
	struct loop_timer timer; /* runs while there are items */
	uint64_t tick;
	size_t count;
	void (*on_due)(void *arg, struct wheel_item *item);
	void *arg;
};

void wheel_init(struct wheel *w, struct loop *loop,
	void (*on_due)(void *arg, struct wheel_item *item), void *arg);
void wheel_fini(struct wheel *w); /* items must be out */
/* Puts it in, or to another deadline. */
void wheel_arm(struct wheel *w, struct wheel_item *item, int64_t ms);
void wheel_del(struct wheel *w, struct wheel_item *item); /* harmless when it is out */

#endif
