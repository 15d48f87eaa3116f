/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of catalogd/core share: the state of a batch and of a command, and each file's
 * functions for the others.
 *
 * A command works on the tables through table_* (tables.c), which can undo it; marks the things
 * whose answers changed; and notes the instances that must be rendered again, which derive_flush
 * does at its end. Operations that can fail return 0 or ST_INVALID with the text in c->why.
 */
#ifndef MUSTER_CATALOGD_CORE_INTERNAL_H
#define MUSTER_CATALOGD_CORE_INTERNAL_H

#include "catalogd/core/core.h"
#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/time.h"

/* How a row was before the command touched it. */
struct undo {
	struct undo *older;
	unsigned table;
	bool existed;
	struct str key, value;
};

struct mark {
	enum thing kind;
	struct str name;
};

struct marks {
	struct mark *items;
	size_t count, size;
};

/* Names that must be looked at again, each once. */
struct name_entry {
	struct map_node node;
};

struct name_set {
	struct map map;
	struct arena *arena;
};

/* An address that got or lost an owner in the naming environment. */
struct address_note {
	bool gone;
	enum naming_owner owner;
	struct str address, id, name;
};

struct address_notes {
	struct address_note *items;
	size_t count, size;
};

/* A service name that the command touched, with its json from before ("" when it was not there). */
struct touched_name {
	struct map_node node;
	struct str before;
};

struct thing_entry {
	struct map_node node; /* key: kind byte + name */
	uint64_t index;
	bool forgotten; /* not to be kept in THINGS */
};

/* The remembered requests: a ring in order of their indexes, and slots by hash. */
struct requests {
	struct remembered {
		struct uuid id;
		uint64_t index;
		uint32_t bytes;
		uint32_t chain; /* ring position + 1 of the next one in the slot */
	} * ring;
	uint32_t *slots; /* 2 * size; ring position + 1 */
	uint32_t size;	 /* of the ring: doubled up to REQUESTS_MAX */
	uint32_t first, count;
	uint64_t bytes;
};

struct catalog {
	struct kv_txn *t;
	/* the batch */
	struct arena batch;
	struct map things;
	struct buf changes; /* of struct catalog_change, made by finish */
	struct name_set naming_services, naming_nodes;
	/* large services whose derivation was put off; they outlive the batch */
	struct arena late_arena;
	struct name_set naming_late;
	struct address_notes addresses;
	bool replaced;
	uint64_t applied, applied_term;
	uint64_t naming_index; /* of the last command that changed what DNS shows; 0: none did */
	uint64_t base;	       /* what is added to log indexes, so that stamps grow over a restored
				  archive's */
	struct requests requests;
	/* the command */
	struct arena arena;
	uint64_t index;
	struct buf why, json, def, record, answer;
	struct marks marks;
	struct name_set dirty; /* instances: lower(node) 0 lower(id) */
	struct map names;      /* of struct touched_name */
	struct name_set
		renamed; /* services and nodes for the naming environment: kind byte + name */
	bool undoing;	 /* table_* keep the rows they change */
	struct undo *undo;
	size_t addresses_before;
};

/* ---- core.c ---- */
int fail(struct catalog *c, const char *format, ...) PRINTF_LIKE(2, 3);
int fail_within(struct catalog *c, const char *format, ...)
	PRINTF_LIKE(2, 3);			     /* puts text in front of the reason */
const char *quoted(struct catalog *c, struct str s); /* as Go's %q, in the arena */
struct str lower(struct catalog *c, struct str s);   /* in the arena */
void things_clear(struct catalog *c);

/* ---- tables.c ---- */
bool table_get(struct catalog *c, enum state_table table, struct str key, struct str *value_out);
void table_put(struct catalog *c, enum state_table table, struct str key, struct str value);
void *table_reserve(struct catalog *c, enum state_table table, struct str key, size_t n);
bool table_del(struct catalog *c, enum state_table table, struct str key);
void table_put_u64(struct catalog *c, enum state_table table, struct str key, uint64_t v);
bool table_get_u64(struct catalog *c, enum state_table table, struct str key, uint64_t *out);
void undo_begin(struct catalog *c);
void undo_keep(struct catalog *c); /* the command stands */
void undo_all(struct catalog *c);  /* as if it had not been */

/* Rows of NODES, SERVICES, CHECKS, SESSIONS and QUERIES begin alike. All is copied to the arena. */
struct entry {
	struct str json;
	uint64_t create_index, modify_index;
	struct str def; /* encoded */
};
bool entry_get(struct catalog *c, enum state_table table, struct str key, struct entry *out);
void entry_put(struct catalog *c, enum state_table table, struct str key, const struct entry *e);

void set_init(struct name_set *s, struct arena *arena);
void set_fini(struct name_set *s);
void set_clear(struct name_set *s);
bool set_add(struct name_set *s, struct str name); /* false: it was there */
void mark(struct catalog *c, enum thing kind, struct str name);
void mark_gone(struct catalog *c, enum thing kind,
	struct str name); /* and its index may be forgotten after a while */
void address_note(struct catalog *c, const struct address_note *note);
void *be64_key(struct state_key *room, uint64_t index); /* returns where the rest of the key goes */

/* ---- render.c ---- */
void render_node(
	struct buf *out, const struct node_def *n, uint64_t create_index, uint64_t modify_index);
/* nulls: unset tags as null (transactions), not []. */
void render_service(struct buf *out, const struct service_def *s, uint64_t create_index,
	uint64_t modify_index, bool nulls);
void render_check(struct buf *out, const struct health_check *h, uint64_t create_index,
	uint64_t modify_index, bool nulls);
void render_instance(struct buf *out, const struct node_def *n, const struct service_def *s,
	uint64_t create_index, uint64_t modify_index);
void render_session(
	struct buf *out, const struct session_def *s, uint64_t create_index, uint64_t modify_index);
void render_kv(struct buf *out, struct str key, const struct kv_record *r, bool with_value);

/* ---- node.c ---- */
bool node_find(struct catalog *c, struct str name, struct entry *out);
bool node_find_id(struct catalog *c, struct str id, struct entry *out);
int node_ensure(struct catalog *c, struct node_def *node);
void node_id_index(struct catalog *c, const struct node_def *node, bool add);
void node_delete(struct catalog *c, struct str name);
int register_apply(struct catalog *c, struct cmd_register *cmd);
int deregister_apply(struct catalog *c, const struct cmd_deregister *cmd);

/* ---- service.c ---- */
bool service_find(struct catalog *c, struct str node, struct str id, struct entry *out);
int service_ensure(struct catalog *c, struct str node, struct service_def *s);
void service_delete(struct catalog *c, struct str node, struct str id);
/* Keeps SERVICE_NAMES: one instance of this name with these tags more (by 1) or less (by -1). */
void service_name_count(struct catalog *c, struct str name, struct strs tags, int by);
void service_names_flush(
	struct catalog *c, bool compare); /* marks what is different at the end of a command */

/* ---- check.c ---- */
bool check_find(struct catalog *c, struct str node, struct str id, struct entry *out);
int check_ensure(struct catalog *c, struct health_check *h);
void check_delete(struct catalog *c, struct str node, struct str id);
void check_index(struct catalog *c, struct str key, const struct health_check *h,
	bool add); /* its derived rows */

/* ---- session.c ---- */
int session_create(struct catalog *c, struct session_def *s);
void session_delete(struct catalog *c, const struct uuid *id);
void session_delete_of_check(struct catalog *c, struct str node, struct str check);
void session_delete_of_node(struct catalog *c, struct str node);
/* The session of a lock request; ST_INVALID with Consul's text for a text that is no UUID.
 * found_out: it exists. */
int session_lookup(struct catalog *c, struct str text, struct uuid *id_out, bool *found_out);
void session_index(struct catalog *c, const struct session_def *s, bool add);
void session_key_row(
	struct catalog *c, const struct uuid *session, struct str key, bool add); /* keys.c */

/* ---- keys.c ---- */
bool kv_find(struct catalog *c, struct str key,
	struct kv_record *out); /* borrowed until the next write */
int kv_set(struct catalog *c, const struct cmd_kv *cmd, uint64_t lock_index,
	const struct uuid *session);
void kv_release(struct catalog *c, struct str key); /* its session has gone */
void kv_delete(struct catalog *c, struct str key);
/* Executes a write; *done_out: Consul's true or false. */
int kv_apply(struct catalog *c, const struct cmd_kv *cmd, bool *done_out);
void kv_reap(struct catalog *c, uint64_t index);
bool lock_delayed(struct catalog *c, struct str key);
void lock_delay_put(struct catalog *c, struct str key, int64_t ms);
void lock_delays_end(struct catalog *c, const struct cmd_lock_delays_end *cmd);

/* ---- validate.c ---- */
int validate_node(const struct node_def *node, struct buf *why);
int validate_service(struct service_def *s, struct buf *why); /* fills in the ID */

/* ---- txn.c ---- */
enum result_kind txn_apply(struct catalog *c, const struct cmd_txn *cmd);

/* ---- derive.c ---- */
void derive_note_instance(struct catalog *c, struct str node, struct str id);
void derive_note_node(struct catalog *c, struct str node); /* all its instances */
void derive_drop_instance(struct catalog *c, struct str node, struct str id, struct str service);
/* DNS shows the service (its name in lower case) otherwise by now. */
void derive_naming(struct catalog *c, struct str service);
void derive_flush(struct catalog *c);

/* ---- restore.c ---- */
int restore_begin(struct catalog *c, const struct cmd_restore_begin *cmd);
int restore_chunk(struct catalog *c, const struct cmd_restore_chunk *cmd);
int restore_end(struct catalog *c, const struct cmd_restore_end *cmd);

/* ---- requests.c ---- */
void requests_init(struct requests *r);
void requests_fini(struct requests *r);
void requests_load(struct catalog *c);
bool requests_find(struct catalog *c, const struct uuid *id,
	struct result *out); /* borrowed until the next write */
void requests_add(struct catalog *c, const struct uuid *id, const struct result *result);

/* ---- settings.c ---- */
bool autopilot_apply(struct catalog *c, const struct cmd_autopilot *cmd); /* false: cas failed */

/* ---- queries.c ---- */
int query_apply(struct catalog *c, struct cmd_query *cmd);
void query_index(struct catalog *c, const struct query_def *q, bool add); /* its derived rows */
void query_delete_of_session(struct catalog *c, const struct uuid *session);

/* ---- coordinates.c ---- */
void coordinates_apply(struct catalog *c, const struct cmd_coordinates *cmd);
void coordinates_delete(struct catalog *c, struct str node);

#endif
