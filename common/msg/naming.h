/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The naming environment: only what DNS answers need, derived from the state by catalogd, mapped by
 * dnsd. Records are laid out so that an answer touches only the instances it returns, however many
 * there are.
 *
 * The writer hands over plain instances; the encoder groups them by health and by tag, and removes
 * duplicates (naming.c draws the layout). The reader (naming_read.c) picks by number; it checks
 * every offset, so that wrong bytes give a refusal, not a crash. Host names are held in DNS form:
 * length-prefixed labels without the root, spelled as registered.
 *
 * Who is asking, and for what, can decide under which address a node or an instance is shown
 * (tagged.h). Each such face has records of its own, but only where it is not like the one that it
 * falls back to.
 */
#ifndef MUSTER_COMMON_MSG_NAMING_H
#define MUSTER_COMMON_MSG_NAMING_H

#include "common/base/kv.h"
#include "common/msg/state.h"
#include "common/msg/tagged.h"

enum naming_table {
	NAMING_META,	  /* "applied", "faces" -> u64 index, of all tables and of NAMING_FACES */
	NAMING_SERVICES,  /* lower(service) -> naming_service_encode; no key when there is no
			     instance */
	NAMING_NODES,	  /* lower(node) -> naming_node_encode */
	NAMING_ADDRESSES, /* naming_address_key -> name of the node or service as written, for PTR
			   */
	NAMING_FACES,	  /* naming_face_key -> as in NAMING_SERVICES and NAMING_NODES */
	NAMING_TABLES_COUNT
};
extern const char *const naming_table_names[NAMING_TABLES_COUNT];

/* NAMING_SERVICES and NAMING_NODES hold the first one. */
enum naming_face {
	NAMING_FACE_ANY,
	NAMING_FACE_A,
	NAMING_FACE_AAAA,
	NAMING_FACE_WAN_ANY, /* the same three for other data centres */
	NAMING_FACE_WAN_A,
	NAMING_FACE_WAN_AAAA,
	NAMING_FACES_COUNT
};
enum naming_face naming_face(enum tagged_family family, bool wan);
/* What a face without a record is like; NAMING_FACE_ANY for itself. */
enum naming_face naming_face_fallback(enum naming_face face);

/* ---- the writer's half ---- */

/* One instance as the catalogue knows it; borrowed. */
struct naming_instance {
	struct str node;	 /* as written */
	struct str node_address; /* IP or host name */
	struct pairs node_meta;
	struct str service_id;
	struct str address; /* of the service; "" : the node's */
	struct strs tags;
	int64_t port;
	int64_t weight_passing, weight_warning;
	enum health status; /* worst of the instance's and its node's checks */
};

/* The same with all its addresses. */
struct naming_faced {
	struct naming_instance plain;
	struct tagged node_tagged, tagged;
};
/* How it is shown. An address of the node that is not the plain one counts as the instance's own:
 * the node's name would lead elsewhere. */
struct naming_instance naming_face_instance(const struct naming_faced *in, enum naming_face face);
/* Does it look the same with both? */
bool naming_faces_agree(
	const struct naming_faced *in, enum naming_face face, enum naming_face other);
struct str naming_face_address(const struct node_def *node, enum naming_face face);

/* Appends to *out. Critical instances and those whose node cannot be named in DNS are left out. */
void naming_service_encode(struct buf *out, const struct naming_instance *items, uint32_t count);
void naming_node_encode(struct buf *out, const struct node_def *node, enum naming_face face);

/*
 * The key in NAMING_ADDRESSES of one owner of an address; false when the address is not an IP (then
 * there is nothing to store). Put and deleted together with its owner. id: lower(node) for a node;
 * lower(node) 0 lower(service id) (state_key2) for a service instance that has an address of its
 * own. The first key of an address, in order, is what a PTR query answers: nodes before services.
 */
enum naming_owner { NAMING_OWNER_NODE = 'n', NAMING_OWNER_SERVICE = 's' };
bool naming_address_key(struct state_key *room, struct str address, enum naming_owner owner,
	struct str id, struct str *key_out);

/* The key in NAMING_FACES; name: lower(node) or lower(service). face: not the first one. */
struct str naming_face_key(
	struct state_key *room, enum naming_owner owner, struct str name, enum naming_face face);

/* ---- the reader's half ---- */

enum naming_address_kind { NAMING_NONE = 0, NAMING_V4 = 4, NAMING_V6 = 6, NAMING_HOST = 7 };

struct naming_address {
	enum naming_address_kind kind;
	struct str bytes; /* 4, 16, or a name in DNS form */
};

struct naming_node {
	struct naming_address address;
	struct str name; /* DNS form; empty when it cannot be written so */
	bool plain;	 /* one label of letters, digits and hyphens */
	uint16_t texts_count;
	struct str texts; /* naming_text_next */
};

/* HOSTS: the targets whose address (or else whose node's) is a host name. TARGETS: all of them. */
enum naming_list_kind {
	NAMING_LIST_V4,
	NAMING_LIST_V6,
	NAMING_LIST_HOSTS,
	NAMING_LIST_TARGETS,
	NAMING_LISTS_COUNT
};

/* Elements without duplicates, healthiest first: the first `passing` of `count` are passing. */
struct naming_list {
	uint32_t offset, passing, count;
};

struct naming_service {
	struct str record;
	uint32_t views_count, nodes_count, nodes_offset, targets_count, targets_offset;
};

/* The instances that carry a tag, or all. */
struct naming_view {
	struct naming_list lists[NAMING_LISTS_COUNT];
};

/* What a SRV record says of an instance. */
struct naming_target {
	struct naming_node node;
	struct naming_address address; /* NAMING_NONE: the node's */
	uint16_t port, weight;
};

/* The record of a node or service (name in lower case) with this face or what it falls back to. */
bool naming_find(struct kv_txn *t, enum naming_owner owner, struct str name, enum naming_face face,
	struct str *record_out);

int naming_node_open(struct str record, struct naming_node *out); /* ST_CORRUPT */
/* Takes the next text from *texts as the data of a TXT record (character strings). false at the
 * end. */
bool naming_text_next(struct str *texts, struct str *rdata_out);

int naming_service_open(struct str record, struct naming_service *out); /* ST_CORRUPT */
/* tag in lower case, "" for all. ST_NOT_FOUND; ST_CORRUPT */
int naming_service_view(const struct naming_service *s, struct str tag, struct naming_view *out);
/* An element of V4 or V6; i below the list's count. */
struct naming_address naming_list_address(const struct naming_service *s,
	const struct naming_list *l, enum naming_list_kind kind, uint32_t i);
/* An element of HOSTS or TARGETS. ST_CORRUPT */
int naming_list_target(const struct naming_service *s, const struct naming_list *l, uint32_t i,
	struct naming_target *out);

/* The first owner of an address (bytes of an IPv4 or IPv6 address). name_out is borrowed from the
 * transaction. */
bool naming_address_find(struct kv_txn *t, const void *ip, size_t ip_size,
	enum naming_owner *owner_out, struct str *name_out);

/* ---- both ---- */

enum { DNS_NAME_MAX = 255, DNS_LABEL_MAX = 63, NAMING_RECORD_MAX = 1 << 30 };

/* Text ("a.b" or "a.b.") into DNS form without the root. ST_INVALID: an empty or too long label, a
 * too long name, or nothing. */
int naming_name_encode(struct str text, char out[DNS_NAME_MAX], size_t *n_out);
/* An IP in text (IPv4-mapped IPv6 counts as IPv4), else a host name, else NAMING_NONE. Bytes are
 * put into *room. */
struct naming_address naming_address_parse(struct str text, char room[DNS_NAME_MAX]);

#endif
