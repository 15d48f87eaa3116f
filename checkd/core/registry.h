/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registry of this node: its services and checks, when each check runs, what a result means,
 * and what the catalogue must be told. Pure: no I/O, no clock, no chance of its own. The shell
 * feeds events and carries out the update, in this order: make `writes` durable, answer `result`,
 * stop and start runs, send requests.
 *
 * One check:
 *                    due, a place free              result
 *     waiting(run_due) -----> queued/running ------------------> thresholds -> status, output ->
 * waiting(now + interval) ttl: waiting(ttl_due) -- update --> status, ttl_due moves;  -- due -->
 * critical "TTL expired"
 *
 * One entry (service or check) towards the catalogue:
 *     in sync --change--> dirty --FLUSH--> busy (a request is out) --ok--> in sync (or gone, if it
 * was deleted) ^                 |  `--refused--> failed: dirty again after a while
 *                           `--no answer------'  (with back-off for all)
 * A deleted entry stays, invisible, until the catalogue has confirmed. Nothing is sent for an entry
 * while a request about it is out.
 *
 * Event memory is borrowed for the call (config: until the next config event). Update memory is the
 * registry's, valid until the next step.
 */
#ifndef MUSTER_CHECKD_CORE_REGISTRY_H
#define MUSTER_CHECKD_CORE_REGISTRY_H

#include "checkd/core/row.h"
#include "common/base/json.h"
#include "common/base/rng.h"
#include "common/base/time.h"

enum {
	REGISTRY_SERVICES_MAX = 65536, /* more are refused */
	REGISTRY_CHECKS_MAX = 131072,
	REGISTRY_ID_MAX = 300,	    /* bytes of a service or check id */
	REGISTRY_RUNS_MAX = 128,    /* checks running at once; more wait their turn */
	REGISTRY_REQUESTS_MAX = 16, /* requests to the catalogue at once */
	REGISTRY_OUTPUT_MAX = 4096, /* of a check's output, unless it says more or less */
};

enum check_status { CHECK_PASSING, CHECK_WARNING, CHECK_CRITICAL };
const char *check_status_name(enum check_status s);
int check_status_parse(struct str word, enum check_status *out); /* ST_INVALID */

/* How a check is run: the first that its definition names, in this order. */
enum check_kind {
	CHECK_KIND_TTL,
	CHECK_KIND_HTTP,
	CHECK_KIND_TCP,
	CHECK_KIND_UDP,
	CHECK_KIND_GRPC,
	CHECK_KIND_H2PING,
	CHECK_KIND_DOCKER,
	CHECK_KIND_OS_SERVICE,
	CHECK_KIND_SCRIPT,
	CHECK_KIND_ALIAS,
	CHECK_KIND_NONE, /* maintenance: only its status */
};
enum check_kind check_kind_of(const struct check_def *d);
/* The most bytes of output to keep for this check: its own limit or the agent's. */
size_t check_output_max(const struct check_def *d, int64_t agent_max);

struct registry_config {
	struct str node, node_id, datacenter, address;
	struct pairs tagged_addresses, meta;
	struct str default_token, agent_token;
	int64_t check_update_interval_ns; /* 0: each change of output is sent at once */
	int64_t output_max;
	bool discard_output;
	uint64_t cluster_size; /* members; scales the full sync's period */
};

/* A check to register: type is the catalogue's word for it. */
struct registry_check {
	const struct check_def *def;
	struct str type;
};

enum registry_event_type {
	REGISTRY_CONFIG,       /* config */
	REGISTRY_CONF_BEGIN,   /* definitions from configuration follow: what does not come again
				  until ... */
	REGISTRY_CONF_END,     /* ... here is gone from the files and is removed */
	REGISTRY_LOAD_SERVICE, /* load: stored rows; services first, then checks, then states */
	REGISTRY_LOAD_CHECK,
	REGISTRY_LOAD_STATE,
	REGISTRY_LOADED,       /* all stored rows were given: the first full sync is due */
	REGISTRY_SERVICE_PUT,  /* service */
	REGISTRY_SERVICE_DEL,  /* id */
	REGISTRY_CHECK_PUT,    /* check */
	REGISTRY_CHECK_DEL,    /* id */
	REGISTRY_TTL,	       /* ttl */
	REGISTRY_MAINTENANCE,  /* maintenance */
	REGISTRY_RUN_DONE,     /* run */
	REGISTRY_REQUEST_DONE, /* request */
	REGISTRY_TIMER,	       /* registry_deadline() has come (early calls are harmless) */
	REGISTRY_FLUSH,	       /* the end of a turn: requests are planned here and nowhere else */
};

struct registry_event {
	enum registry_event_type type;
	struct mono now;
	struct wall wall;
	union {
		const struct registry_config *config;
		struct {
			struct str key, value;
			bool same_boot;
		} load;
		struct {
			const struct service_def *def;
			const struct registry_check *checks;
			uint32_t checks_count;
			struct str sync_token;
			bool replace_checks, from_config;
		} service;
		struct {
			struct registry_check check;
			struct str sync_token;
			bool from_config;
		} check;
		struct str id;
		struct {
			struct str id;
			enum check_status status;
			struct str output;
		} ttl;
		struct {
			struct str service_id; /* "": the node */
			bool enable;
			struct str reason;
		} maintenance;
		struct {
			uint64_t number;
			enum check_status status;
			struct str output; /* cut to size already */
		} run;
		struct {
			uint64_t number;
			int status;	/* HTTP's; 0: no answer */
			uint64_t index; /* X-Consul-Index, 0: none */
			struct str body;
		} request;
	};
};

struct registry_write {
	struct registry_write *next;
	enum registry_table table;
	struct str key, value;
	bool del;
};

/* def: borrowed from the registry until the run is done or stopped. */
struct registry_run {
	struct registry_run *next;
	uint64_t number;
	enum check_kind kind;
	const struct check_def *def;
};

struct registry_stop {
	struct registry_stop *next;
	uint64_t number; /* of a run or request whose result is no longer wanted */
};

struct registry_request {
	struct registry_request *next;
	uint64_t number;
	bool put;	 /* else GET */
	bool waits;	 /* held open by the server for up to a minute */
	struct str path; /* with its query */
	struct str body, token;
};

struct registry_update {
	struct result result; /* of the local operation; text: Consul's words */
	struct registry_write *writes;
	struct registry_run *runs;
	struct registry_stop *stops;
	struct registry_request *requests;
	bool services_changed; /* an AgentService may look different */
};

struct registry;

/* rng is copied. config as in the event. */
struct registry *registry_new(const struct registry_config *config, const struct rng *rng);
void registry_free(struct registry *r);
DEFINE_OWN(struct registry, registry_free)
void registry_step(
	struct registry *r, const struct registry_event *event, struct registry_update *update_out);
struct mono registry_deadline(const struct registry *r);
void registry_check(const struct registry *r);	    /* must() holds for every invariant */
uint64_t registry_digest(const struct registry *r); /* of services, checks, statuses and outputs */

struct registry_counts {
	uint64_t services, checks, ttls, monitors; /* monitors: checks that run by themselves */
	uint64_t running, queued, dirty, failed, requests;
	bool in_sync;
};
void registry_count(const struct registry *r, struct registry_counts *out);

/* ---- what the agent's endpoints show (http-api 4): appended as one JSON value ---- */

void registry_render_services(
	const struct registry *r, struct buf *out); /* map id -> AgentService, sorted */
void registry_render_checks(
	const struct registry *r, struct buf *out); /* map CheckID -> HealthCheck, sorted */
/* One AgentService with its ContentHash, which is also appended to hash_out; ST_NOT_FOUND. */
int registry_render_service(
	const struct registry *r, struct str id, struct buf *out, struct buf *hash_out);
/* Local health; the worst status word: "passing" "warning" "critical" "maintenance", "" when there
 * is no such service. */
const char *registry_render_health_id(const struct registry *r, struct str id, struct buf *out);
const char *registry_render_health_name(const struct registry *r, struct str name, struct buf *out);

/* ---- texts of results (agent-and-checks 2) ---- */

/* The last bytes of what a script printed: with a line in front when more was printed than kept. */
void output_tail(struct buf *out, struct str tail, uint64_t printed_total, size_t size_max);
/* The first bytes of a TTL check's output. */
void output_head(struct buf *out, struct str text, size_t size_max);

#endif
