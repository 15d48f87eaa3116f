/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The naming environment: only what DNS answers need, derived from the state by catalogd, mapped by dnsd. Records are laid out so
 * that an answer touches only the instances it returns, however many there are.
 *
 * The writer hands over plain instances; the encoder sorts and groups them; the reader picks by number.
 */
#ifndef MUSTER_COMMON_MSG_NAMING_H
#define MUSTER_COMMON_MSG_NAMING_H

#include "common/base/kv.h"
#include "common/msg/state.h"

enum naming_table {
	NAMING_META,      /* "applied" -> u64 index */
	NAMING_SERVICES,  /* lower(service) -> encoded instances */
	NAMING_NODES,     /* lower(node) -> encoded node */
	NAMING_ADDRESSES, /* address as text -> encoded names for PTR */
	NAMING_TABLES_COUNT
};
extern const char *const naming_table_names[NAMING_TABLES_COUNT];

/* One instance as the catalogue knows it; borrowed. */
struct naming_instance {
	struct str node;         /* as written */
	struct str node_address; /* IP or host name */
	struct pairs node_meta;
	struct pairs node_tagged_addresses;
	struct str service_id;
	struct str address;      /* of the service; "" : the node's */
	struct strs tags;
	int64_t port;
	int64_t weight_passing, weight_warning;
	enum health status;      /* worst of the instance's and its node's checks */
};

void naming_service_encode(struct buf *out, const struct naming_instance *items, uint32_t count);
void naming_node_encode(struct buf *out, const struct node_def *node);

#endif
