/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for what: held queries by the thing they show (common/msg/state.h), and by key prefix.
 * Pure and exact: a change of a thing takes out those who wait for just that thing; a change of a
 * key also those who wait for a prefix of it.
 *
 * The waiter is embedded in its owner, which keeps it alive while it waits. Woken waiters are
 * handed over in a list in the order in which they came; each must be taken from it with wait_del.
 */
#ifndef MUSTER_HTTPD_CORE_WAIT_H
#define MUSTER_HTTPD_CORE_WAIT_H

#include "common/base/map.h"
#include "common/msg/state.h"

struct wait_spot;

struct waiter {
	struct list link;
	struct wait_spot *spot; /* NULL: does not wait (or is woken) */
	void *owner;		/* for whoever is handed the woken */
};

struct wait_table {
	struct map spots;
	uint32_t prefix_sizes[KV_KEY_MAX + 1]; /* how many prefixes of each size are waited for */
	size_t waiters_count;
};

void wait_table_init(struct wait_table *t, uint64_t hash_key);
void wait_table_fini(struct wait_table *t); /* nobody waits any more */

void wait_add(struct wait_table *t, struct waiter *w, enum thing kind, struct str name);
void wait_add_prefix(struct wait_table *t, struct waiter *w,
	struct str prefix);			       /* cut at KV_KEY_MAX: then wakes too often */
void wait_del(struct wait_table *t, struct waiter *w); /* harmless for one that does not wait */

void wait_wake(struct wait_table *t, enum thing kind, struct str name, struct list *woken);
void wait_wake_all(struct wait_table *t, struct list *woken);

#endif
