/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intrusive doubly linked list. A head is initialised with list_init; a link that is zero or
 * list_init'ed is in no list. The list owns nothing.
 */
#ifndef MUSTER_COMMON_BASE_LIST_H
#define MUSTER_COMMON_BASE_LIST_H

#include "common/base/std.h"

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline bool list_linked(const struct list *link)
{
	return link->next && link->next != link;
}

static inline void list_add_tail(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

static inline void list_add_head(struct list *head, struct list *link)
{
	list_add_tail(head->next, link);
}

/* Harmless on a link that is in no list. */
static inline void list_del(struct list *link)
{
	if (link->next) {
		link->next->prev = link->prev;
		link->prev->next = link->next;
	}
	list_init(link);
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_first(head, type, member) \
	(list_empty(head) ? NULL : list_entry((head)->next, type, member))
#define list_for_each(item, head, member)                                                         \
	for (item = list_entry((head)->next, __typeof__(*item), member); &item->member != (head); \
		item = list_entry(item->member.next, __typeof__(*item), member))
/* Allows the loop body to remove item. */
#define list_for_each_safe(item, following, head, member)                         \
	for (item = list_entry((head)->next, __typeof__(*item), member),          \
	    following = list_entry(item->member.next, __typeof__(*item), member); \
		&item->member != (head); item = following,                        \
	    following = list_entry(item->member.next, __typeof__(*item), member))

#endif
