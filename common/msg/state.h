/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of the state and naming environments: what catalogd writes and httpd, dnsd read. Keys
 * are bytes; "lower(x)" is ASCII lower case, "+" is concatenation, 0 a NUL byte, be64 big-endian.
 * All indexes are Raft indexes.
 */
#ifndef MUSTER_COMMON_MSG_STATE_H
#define MUSTER_COMMON_MSG_STATE_H

#include "common/base/kv.h"
#include "common/msg/command.h"

#define TYPE(type) WIRE_DECLARE(type)
#include "common/msg/record.def"
#undef TYPE

/* Tables of the state environment. TABLE(name, primary): primary tables are what a snapshot holds;
 * the others are derived from them. */
#define STATE_TABLES(TABLE)                                                                        \
	TABLE(META, false) /* "applied" -> u64 index, u64 term; "format" -> u32; "autopilot" */    \
	TABLE(NODES, true) /* lower(node) -> node_record */                                        \
	TABLE(NODE_IDS, false)	/* uuid16 -> lower(node) */                                        \
	TABLE(SERVICES, true)	/* lower(node) 0 lower(id) -> service_record */                    \
	TABLE(CHECKS, true)	/* lower(node) 0 lower(check id) -> check_record */                \
	TABLE(HEALTH, false)	/* lower(service) 0 lower(node) 0 lower(id) -> health_record */    \
	TABLE(INSTANCES, false) /* lower(service) 0 lower(node) 0 lower(id) -> instance_record */  \
	TABLE(SERVICE_NAMES, false) /* service name as written -> service_name_record */           \
	TABLE(SERVICE_CHECKS,                                                                      \
		false) /* lower(service) 0 lower(node) 0 lower(check id) -> key in CHECKS */       \
	TABLE(CHECK_STATES, false) /* status 0 lower(node) 0 lower(check id) -> key in CHECKS */   \
	TABLE(KVS, true)	   /* key -> kv_record */                                          \
	TABLE(TOMBSTONES, true)	   /* key -> u64 index of its deletion */                          \
	TABLE(TOMBSTONE_ORDER, false) /* be64 index + key -> "" */                                 \
	TABLE(SESSIONS, true)	      /* uuid16 -> session_record */                               \
	TABLE(SESSION_NODES, false)   /* lower(node) 0 uuid16 -> "" */                             \
	TABLE(SESSION_CHECKS, false)  /* lower(node) 0 lower(check id) 0 uuid16 -> "" */           \
	TABLE(SESSION_KEYS, false)    /* uuid16 + key -> "" : the keys a session holds */          \
	TABLE(LOCK_DELAYS, true)      /* key -> lock_delay_record: it cannot be locked */          \
	TABLE(THINGS, true)	      /* thing kind byte + name -> u64 index of its last change */ \
	TABLE(COORDINATES, true)      /* lower(node) 0 segment -> coordinate_record */             \
	TABLE(REQUESTS, true)	      /* be64 index -> request_record: the newest ones */          \
	TABLE(RESTORE, false)	      /* be32 chunk number -> records; key "id" -> uuid16 */       \
	TABLE(THING_GRAVES, true) /* be64 index + key in THINGS -> "": things that have gone */    \
	TABLE(INSTANCE_CHECKS,                                                                     \
		false)		  /* lower(node) 0 lower(service id, "" of the node) 0         \
					 lower(check id) -> "" */   \
	TABLE(QUERIES, true)	  /* uuid16 -> query_record */                                     \
	TABLE(QUERY_NAMES, false) /* 'n' + lower(name) 0 uuid16, for templates also 't' +       \
					lower(name) 0 uuid16 -> "" */  \
	TABLE(QUERY_SESSIONS, false) /* uuid16 of the session + uuid16 -> "" */

enum state_table {
#define TABLE(name, primary) STATE_##name,
	STATE_TABLES(TABLE)
#undef TABLE
		STATE_TABLES_COUNT
};

extern const char *const state_table_names[STATE_TABLES_COUNT];
extern const bool state_table_primary[STATE_TABLES_COUNT];

enum { STATE_FORMAT = 1 };

/* Aggregated health of an instance or check. Status words outside the three are HEALTH_OTHER. */
enum health { HEALTH_PASSING, HEALTH_WARNING, HEALTH_OTHER, HEALTH_CRITICAL };
enum health health_of(struct str status);

/* Limits of what may become part of a key. */
enum {
	KV_NAME_MAX = 480,
	NODE_NAME_MAX = 200,
	SERVICE_NAME_MAX = 200,
	SERVICE_ID_MAX = 300,
	CHECK_ID_MAX = 300,
	QUERY_NAME_MAX = 400
};

/*
 * What a blocking query can wait for. A thing's index is the index of the last change of exactly
 * what an answer about it shows. Names: lower case for nodes and services.
 */
enum thing {
	THING_KV = 1,	       /* a key; its index is in KVS or TOMBSTONES, not in THINGS */
	THING_KVS,	       /* "": any key at all (recurse with an empty prefix) */
	THING_NODES,	       /* "": catalog/nodes */
	THING_NODE,	       /* node: its record and services (catalog/node, node-services) */
	THING_SERVICES,	       /* "": names and tags (catalog/services) */
	THING_SERVICE_CATALOG, /* service: catalog/service */
	THING_SERVICE_HEALTH,  /* service: health/service */
	THING_SERVICE_CHECKS,  /* service: health/checks */
	THING_NODE_CHECKS,     /* node: health/node */
	THING_CHECK_STATE,     /* status word: health/state/<word> */
	THING_CHECKS,	       /* "": health/state/any */
	THING_SESSIONS,	       /* "" */
	THING_SESSION,	       /* uuid16 */
	THING_NODE_SESSIONS,   /* node */
	THING_COORDINATES,     /* "" */
	THING_FLOOR, /* kind byte: the highest index forgotten for that kind (reaped tombstones) */
	THING_INSTANCES, /* "": every instance of every service, as health/service shows it */
	THING_QUERIES,	 /* "": query */
	THING_QUERY,	 /* uuid16 */
	THING_KINDS_COUNT
};

/* The index to report for a thing that is in THINGS: its own, else the floor of its kind, at
 * least 1. */
uint64_t thing_index(struct kv_txn *t, enum thing kind, struct str name);
/* The same for a key: its ModifyIndex, else that of its tombstone, else the floor, at least 1. */
uint64_t thing_kv_index(struct kv_txn *t, struct str key);

enum { LOCK_DELAY_MAX_MS = 60000 }; /* "The maximum lock delay is 60 seconds." */

/* The value of a row of LOCK_DELAYS. Older rows are a Unix time in ms: the longest delay, index
 * 0. */
bool lock_delay_get(struct str value, struct lock_delay_record *out);

/* Composite keys: a 0 b, a 0 b 0 c; lower-cased where said so by the caller beforehand. Returned
 * text borrows *room. */
struct state_key {
	char bytes[KV_KEY_MAX];
};
struct str state_key2(struct state_key *room, struct str a, struct str b);
struct str state_key3(struct state_key *room, struct str a, struct str b, struct str c);
struct str state_lower(struct state_key *room, struct str s); /* cut at KV_KEY_MAX */

/*
 * The UUID that Consul's index would look for: 32 hex digits with up to four hyphens anywhere.
 * ST_INVALID with its words in *why; ST_NOT_FOUND: well-formed for it, but the key of nothing.
 */
int state_uuid(struct str text, struct uuid *out, struct buf *why);

#endif
