/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a transaction: an array of objects with one of KV, Node, Service, Check each.
 */
#ifndef MUSTER_HTTPD_TXN_H
#define MUSTER_HTTPD_TXN_H

#include "httpd/httpd.h"

struct txn_kv_body {
	struct str verb, key, value, session, ns;
	uint64_t flags, index;
};

struct txn_item {
	struct txn_kv_body *kv; /* at most one of these four */
	struct txn_object_body *node, *service, *check;
};

struct txn_body {
	struct txn_item *items;
	uint32_t count;
};

/* false: answered with 400. */
bool txn_body_parse(struct exchange *x, struct txn_body *out);

/* The operation of one item. 0; ST_NOT_FOUND: the item is empty, and ignored; ST_INVALID with the
 * decoder's text in *why. */
int txn_op_make(
	struct exchange *x, const struct txn_item *item, struct txn_op *out, struct buf *why);

#endif
