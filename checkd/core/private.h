/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: entry.c (services and checks come and go), schedule.c (when
 * checks run, what results mean), alias.c, sync.c (requests to the catalogue), compare.c (its
 * answers), render.c. Nobody else includes this.
 */
#ifndef MUSTER_CHECKD_CORE_PRIVATE_H
#define MUSTER_CHECKD_CORE_PRIVATE_H

#include "checkd/core/heap.h"
#include "checkd/core/registry.h"
#include "common/base/map.h"

struct request;

/* An entry's standing with the catalogue; see the drawing in registry.h. */
struct sync {
	struct list link; /* in registry.dirty_x or failed_x while it is dirty or failed */
	bool dirty, failed, deleted;
	struct request *busy;
};

struct service {
	struct map_node node; /* by id */
	struct sync sync;
	struct list checks; /* check.of_service, deleted ones too */
	char *bytes;	    /* the encoded row, which row borrows */
	size_t bytes_count;
	struct arena arena;
	struct service_row row;
	bool seen; /* by the configuration that is being read */
};

struct check {
	struct map_node node; /* by id */
	struct sync sync;
	struct list of_service;	 /* in service.checks or registry.node_checks */
	struct list of_request;	 /* in request.checks while busy with a service's push */
	struct list of_alias;	 /* in registry.aliases */
	struct list of_running;	 /* in registry.running or queued */
	struct heap_item due;	 /* in registry.dues: the earliest of the instants below */
	struct service *service; /* NULL: of the node */
	char *bytes;
	size_t bytes_count;
	struct arena arena;
	struct check_row row;
	enum check_kind kind;
	bool seen;

	enum check_status status;
	struct buf output;
	int64_t successes, failures; /* in a row */
	uint64_t run; /* number of the run under way or queued (then of_running is in queued); 0:
			 none */
	struct mono run_due, ttl_due, defer_due, critical_since;
	struct wall ttl_due_wall;
	enum check_status alias_status; /* of a local alias, while all of them are settled ... */
	unsigned alias_rank;		/* ... and how many others it follows from; 0: it passes */
	uint64_t alias_index;		/* of the last answer about another node */
	bool alias_probe;		/* its service has no checks there: does it exist at all? */
	enum check_status probe_status; /* what holds if it does */
	struct buf probe_output;
};

enum request_kind {
	REQUEST_NODE,
	REQUEST_SERVICE,
	REQUEST_CHECK,
	REQUEST_SERVICE_DEL,
	REQUEST_CHECK_DEL,
	REQUEST_READ_SERVICES,
	REQUEST_READ_CHECKS
};

struct request {
	struct list link;
	uint64_t number;
	enum request_kind kind;
	struct service *service;
	struct list checks; /* check.of_request */
	bool with_node;
	uint64_t config_number; /* what it says of the node is that of this configuration */
};

struct full_sync {
	struct mono due;
	bool running; /* both reads were asked for */
	unsigned reads_left;
	bool reads_failed;
	bool too_early;	      /* the leader has not put the node itself into the catalogue yet */
	bool completed;	      /* at least once */
	struct mono patience; /* until when that is waited for */
};

struct registry {
	const struct registry_config *config;
	uint64_t config_number; /* counts them */
	struct rng rng;
	struct mono now;
	struct wall wall;
	struct map services, checks;
	struct list node_checks, aliases;
	struct list running, queued;
	unsigned running_count;
	uint64_t numbers;
	struct heap dues;
	bool conf_reading, aliases_stale;
	uint64_t services_live, checks_live;
	/* sync */
	struct list dirty_services, dirty_checks, failed_services, failed_checks;
	struct list requests;
	unsigned requests_count;
	bool node_dirty;
	struct mono retry_at, failed_due;
	int64_t backoff_ms;
	struct full_sync full;
	/* the update under construction */
	struct arena arena;
	struct registry_update *update;
	struct registry_write **write_tail;
	struct registry_run **run_tail;
	struct registry_stop **stop_tail;
	struct registry_request **request_tail;
};

/* registry.c */
void result_set(struct registry *r, enum result_kind kind, struct str text); /* text is copied */
void write_put(struct registry *r, enum registry_table table, struct str key, struct str value);
void write_del(struct registry *r, enum registry_table table, struct str key);
void writes_forget(struct registry *r); /* what this step has noted is in the store already */
void stop_put(struct registry *r, uint64_t number);

/* entry.c */
struct service *service_find(const struct registry *r, struct str id); /* live ones only */
struct check *check_find(const struct registry *r, struct str id);
struct service *service_stub(
	struct registry *r, struct str id); /* deleted, to be removed from the catalogue */
struct check *check_stub(struct registry *r, struct str id, struct str service_id);
void service_replace_row(struct service *s, const struct service_row *row);
void service_forget(
	struct registry *r, struct service *s); /* frees a deleted entry and its checks */
void check_forget(struct registry *r, struct check *c);
void service_remove(struct registry *r, struct service *s); /* marks as deleted, with its checks */
void check_remove(struct registry *r, struct check *c);
void entry_service_put(struct registry *r, const struct registry_event *e);
void entry_check_put(struct registry *r, const struct registry_event *e);
void entry_service_del(struct registry *r, struct str id);
void entry_check_del(struct registry *r, struct str id);
void entry_maintenance(struct registry *r, const struct registry_event *e);
void entry_conf_begin(struct registry *r);
void entry_conf_end(struct registry *r);
void entry_load_service(struct registry *r, const struct registry_event *e);
void entry_load_check(struct registry *r, const struct registry_event *e);

/* schedule.c */
void schedule_start(struct registry *r, struct check *c); /* a new or changed definition */
void schedule_stop(struct registry *r, struct check *c);  /* nothing runs, nothing is due */
void schedule_status(
	struct registry *r, struct check *c, enum check_status status, struct str output);
void schedule_ttl(struct registry *r, const struct registry_event *e);
void schedule_run_done(struct registry *r, const struct registry_event *e);
bool schedule_alias_done(
	struct registry *r, const struct registry_event *e); /* false: not an alias' request */
void schedule_load_state(struct registry *r, const struct registry_event *e);
void schedule_timer(struct registry *r);
void schedule_undefer(struct registry *r, struct check *c); /* its output has been sent */
void state_write(struct registry *r, const struct check *c);

/* alias.c */
bool alias_is_local(const struct registry *r, const struct check *c);
void alias_refresh(struct registry *r); /* all those of this node */
void alias_request(struct registry *r, struct check *c);
void alias_answer(struct registry *r, struct check *c, const struct registry_event *e);

/* sync.c */
void sync_init(struct registry *r);
void sync_fini(struct registry *r);
void sync_dirty_service(struct registry *r, struct service *s);
void sync_dirty_check(struct registry *r, struct check *c);
void sync_clean_service(struct registry *r, struct service *s);
void sync_clean_check(struct registry *r, struct check *c);
void sync_full_now(struct registry *r);
void sync_plan(struct registry *r);
void sync_done(struct registry *r, const struct registry_event *e);
void sync_timer(struct registry *r);
struct mono sync_deadline(const struct registry *r);
struct registry_request *sync_request_put(struct registry *r, uint64_t number);

/* compare.c: the catalogue's view of this node against ours; what differs becomes dirty. ST_INVALID
 * when the answer is no such thing. */
int compare_services(struct registry *r, struct str body);
int compare_checks(struct registry *r, struct str body);

/* render.c */
void render_node(
	const struct registry *r, struct jsonw *w); /* the node's members of a register body */
void render_node_service(const struct service *s,
	struct jsonw *w); /* {"ID":..,"Service":..} as catalog/register takes it */
void render_health_check(const struct registry *r, const struct check *c, struct jsonw *w);

#endif
