/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ROUTE_READ: how fresh the answer must be, the transaction, and whether there is something new to
 * say. The handler is run again from the start after each change; a query waits in hold.c
 * meanwhile.
 *
 * Any server answers any read from its own state. Before a read that is not stale catalogd makes
 * sure, once per request, that everything is applied here that was committed when it came: by the
 * leader's lease (default), by a round over the quorum (consistent). At the leader a look at
 * raftd's page does for the former.
 *
 * A read without a leader, or before the state is there, waits for a while
 * (performance.rpc_hold_timeout), as Consul retries, and is then refused. It is never answered with
 * an empty state.
 */
#include "common/base/hash.h"
#include "common/sys/clock.h"
#include "httpd/engine.h"

enum { BARRIER_GRACE_MS = 500 };

bool exchange_consistency(struct exchange *x, enum read_mode *mode_out)
{
	const struct request *r = &x->request;
	struct str max_stale = request_param(r, "max_stale");
	bool stale = request_has(r, "stale"), consistent = request_has(r, "consistent");
	bool by_default = x->httpd->conf->discovery_max_stale_ns > 0 && !x->conn->peer &&
			  x->route->flags & ROUTE_SHOWS_CONSISTENCY &&
			  !(x->route->flags & ROUTE_AS_ASKED);
	int64_t ns;

	if (max_stale.n && duration_parse(max_stale, &ns, NULL)) {
		answer_printf(
			x, 400, "Invalid max_stale value \"" STR_FMT "\"", STR_ARG(max_stale));
		return false;
	}
	if (stale && consistent) {
		answer_text(x, 400,
			STR("Cannot specify ?stale with ?consistent, conflicting semantics."));
		return false;
	}
	if (consistent && request_has(r, "cached")) {
		answer_text(x, 400,
			STR("Cannot specify ?cached with ?consistent, conflicting semantics."));
		return false;
	}
	stale |= by_default && !consistent && !request_has(r, "leader");
	*mode_out = stale ? READ_STALE : consistent ? READ_CONSISTENT : READ_DEFAULT;
	return true;
}

/* Cache-Control is checked as Consul does, though there is no cache that could be behind. */
static bool check_cache_control(struct exchange *x)
{
	struct str rest = request_header(&x->request, "cache-control"), name, value;
	int64_t seconds;

	while (rest.p) {
		name = str_trim(str_split(str_split(rest, ',', &rest), '=', &value));
		if (!str_ieq(name, STR("max-age")) && !str_ieq(name, STR("stale-if-error"))) {
			continue;
		}
		if (value.n && str_to_i64(str_trim(value), &seconds)) {
			answer_text(x, 400, STR("Invalid Cache-Control header."));
			return false;
		}
	}
	return true;
}

void exchange_cached(struct exchange *x)
{
	if (x->route->flags & ROUTE_CACHED && request_has(&x->request, "cached") &&
		x->httpd->conf->http.use_cache) {
		/* There is no cache to be behind: each answer is read from the state. */
		answer_header(x, STR("X-Cache"), STR("MISS"));
	}
}

static bool parse_wait(struct exchange *x, uint64_t *index_out, int64_t *wait_ns_out)
{
	const struct conf *conf = x->httpd->conf;
	struct str wait = request_param(&x->request, "wait");
	struct str index = request_param(&x->request, "index");

	*index_out = 0;
	*wait_ns_out = 0;
	if (wait.n && duration_parse(wait, wait_ns_out, NULL)) {
		answer_text(x, 400, STR("Invalid wait time"));
		return false;
	}
	if (index.n && str_to_u64(index, index_out)) {
		answer_text(x, 400, STR("Invalid index"));
		return false;
	}
	if (*wait_ns_out <= 0) {
		*wait_ns_out = conf->default_query_time_ns;
	}
	*wait_ns_out = min_of(*wait_ns_out, conf->max_query_time_ns);
	/* Those that came together do not all come back together. */
	*wait_ns_out += (int64_t)rng_below(&x->httpd->engine->rng, (uint64_t)*wait_ns_out / 16);
	return true;
}

bool exchange_wait(struct exchange *x, uint64_t *index_out, uint32_t *wait_ms_out)
{
	int64_t wait_ns;

	if (!parse_wait(x, index_out, &wait_ns)) {
		return false;
	}
	x->is_waiting = true;
	*wait_ms_out = x->httpd->engine->draining ? 0 : (uint32_t)(wait_ns / NS_PER_MS);
	return true;
}

/* What a stale answer says about itself: since when the leader was not heard of. As Consul, all
 * the time there is when that was never. */
static void show_contact(struct exchange *x)
{
	struct mono now = clock_mono();
	struct raft_page page;
	bool known = state_raft_page(x->httpd->reader, &page);

	x->answer.has_leader = true;
	x->answer.known_leader = known && (page.is_leader || page.leader_known);
	x->answer.last_contact_ms = INT64_MAX / NS_PER_MS;
	if (known && page.is_leader) {
		x->answer.last_contact_ms = 0;
	} else if (known && page.last_contact_ns) {
		x->answer.last_contact_ms =
			(uint64_t)max_of((now.ns - page.last_contact_ns) / NS_PER_MS, 0);
	}
}

/* "If it is behind by more than max_stale, the leader is asked": then it is a read in default
 * mode. */
static void limit_staleness(struct exchange *x)
{
	const struct conf *conf = x->httpd->conf;
	struct str text = request_param(&x->request, "max_stale");
	int64_t max_ns = 0;

	if (x->read->mode != READ_STALE) {
		return;
	}
	if (text.n) {
		duration_parse(text, &max_ns, NULL);
	} else if (!request_has(&x->request, "stale")) {
		max_ns = conf->discovery_max_stale_ns;
	}
	show_contact(x);
	if (max_ns > 0 && x->answer.last_contact_ms > (uint64_t)(max_ns / NS_PER_MS)) {
		x->read->mode = READ_DEFAULT;
	}
}

/* Is the state here, of this index, what the leader would answer from? */
static bool leads_with(struct exchange *x, uint64_t applied)
{
	struct raft_page page;

	/* In a quorum of one nobody was told of what is not applied here yet. In others a write
	 * may have been answered elsewhere already. */
	return state_raft_page(x->httpd->reader, &page) && page.is_leader &&
	       page.lease_until_ns > clock_mono().ns &&
	       (page.lease_until_ns == INT64_MAX ||
		       (x->read->mode == READ_DEFAULT && applied >= page.commit_index));
}

/* No leader or no state: later, or an error. */
static void not_now(struct exchange *x)
{
	struct hold *h = x->conn->hold;
	bool waited = h && h->give_up.ns && !mono_before(loop_now(x->httpd->loop), h->give_up);

	if (waited || x->httpd->engine->draining || (h && h->expired)) {
		read_failed(x, 500, STR("No cluster leader"));
		return;
	}
	x->read->held = x->read->park = true;
}

/* The client of a filtered query has an answer: is the new one any different? */
static void compare(struct exchange *x)
{
	struct hold *h = x->conn->hold;
	uint64_t hash =
		hash64_mix(hash64(buf_str(exchange_body(x)), 0), (uint64_t)x->answer.status);

	if (h && h->has_hash && h->hash != hash) {
		return;
	}
	x->read->hash = hash;
	x->read->held = true;
	x->answered = false;
}

static void confirm(struct exchange *x);

static void run(struct exchange *x)
{
	struct exchange_read *read = x->read;

	if (state_read(x->httpd->reader, &x->txn, &read->applied)) {
		not_now(x);
		return;
	}
	read->confirmed = read->confirmed || leads_with(x, read->applied);
	if (read->mode == READ_STALE) {
		show_contact(x);
	} else if (read->confirmed) { /* as the leader would say it */
		x->answer.has_leader = x->answer.known_leader = true;
		x->answer.last_contact_ms = 0;
	} else {
		kv_abort(take(x->txn));
		confirm(x);
		return;
	}
	if (x->route->flags & ROUTE_SHOWS_CONSISTENCY) {
		static const char *const names[] = { "leader", "stale", "consistent" };

		x->answer.consistency = names[read->mode];
	}
	x->route->handle(x);
	kv_abort(take(x->txn));
	/* What is not there is waited for too. */
	if (read->compare && x->answered &&
		(x->answer.status == 200 || x->answer.status == 404)) {
		compare(x);
	}
}

/* Everything is applied here that was committed when this was asked. */
static void on_barrier(struct exchange *x, int status, struct str payload)
{
	if (status == ST_NOT_LEADER || status == ST_TIMEOUT) {
		read_failed(x, 500, STR("No cluster leader"));
		return;
	}
	if (status) {
		answer_result(x, status, NULL);
		return;
	}
	x->read->confirmed = true;
	run(x);
}

static void confirm(struct exchange *x)
{
	int64_t hold_ms = x->httpd->conf->performance.rpc_hold_timeout_ns / NS_PER_MS;
	struct catalog_barrier index = {};
	struct catalog_barrier_lease lease = {};

	if (x->httpd->engine->draining && x->conn->hold) {
		read_failed(x, 500, STR("No cluster leader"));
	} else if (x->read->mode == READ_CONSISTENT) {
		EXCHANGE_CALL(x, x->httpd->catalog_read, catalog_barrier, &index,
			hold_ms + BARRIER_GRACE_MS, on_barrier);
	} else {
		EXCHANGE_CALL(x, x->httpd->catalog_read, catalog_barrier_lease, &lease,
			hold_ms + BARRIER_GRACE_MS, on_barrier);
	}
}

void read_run(struct exchange *x)
{
	struct exchange_read *read = arena_new(&x->arena, struct exchange_read);

	x->read = read;
	if (!exchange_consistency(x, &read->mode) || !check_cache_control(x) ||
		!parse_wait(x, &read->wanted, &read->wait_ns)) {
		return;
	}
	exchange_cached(x);
	read->blocking = read->wanted > 0 && !exchange_is_urgent(x);
	read->confirmed = x->conn->hold && x->conn->hold->confirmed;
	limit_staleness(x);
	run(x);
}

/*
 * What Consul shows as the index of an answer is mostly that of whole tables, and that is what is
 * shown here. Waiting goes by the thing alone: its index is never larger, so a client that comes
 * back with the index of the table has seen every older change of the thing, and is woken by the
 * next one and by nothing else.
 */
struct shown {
	enum thing tables[3];
	enum { SHOWN_ALWAYS = 1, SHOWN_IF_KNOWN, SHOWN_IF_UNKNOWN } when;
};

static const struct shown shown[THING_KINDS_COUNT] = {
	[THING_NODE] = { { THING_NODES, THING_SERVICES }, SHOWN_IF_KNOWN },
	[THING_SERVICE_CATALOG] = { { THING_NODES, THING_SERVICES }, SHOWN_IF_UNKNOWN },
	[THING_SERVICE_HEALTH] = { { THING_NODES, THING_SERVICES, THING_CHECKS },
		SHOWN_IF_UNKNOWN },
	[THING_SERVICE_CHECKS] = { { THING_CHECKS }, SHOWN_ALWAYS },
	[THING_NODE_CHECKS] = { { THING_CHECKS }, SHOWN_ALWAYS },
	[THING_CHECK_STATE] = { { THING_CHECKS }, SHOWN_ALWAYS },
	[THING_SESSION] = { { THING_SESSIONS }, SHOWN_ALWAYS },
	[THING_NODE_SESSIONS] = { { THING_SESSIONS }, SHOWN_ALWAYS },
	[THING_QUERY] = { { THING_QUERIES }, SHOWN_ALWAYS },
	[THING_INSTANCES] = { { THING_NODES, THING_SERVICES, THING_CHECKS }, SHOWN_ALWAYS },
};

static uint64_t shown_index(struct exchange *x, enum thing kind, uint64_t index)
{
	const struct shown *row = &shown[kind];
	bool known = index > 1;

	if (!row->when || (row->when == SHOWN_IF_KNOWN && !known) ||
		(row->when == SHOWN_IF_UNKNOWN && known)) {
		return index;
	}
	for (size_t i = 0; i < ARRAY_SIZE(row->tables) && row->tables[i]; i++) {
		index = max_of(index, thing_index(x->txn, row->tables[i], STR("")));
	}
	return index;
}

static void add_thing(struct exchange *x, enum thing kind, struct str name, uint64_t index)
{
	struct exchange_read *read = x->read;

	must(read->things_count < EXCHANGE_THINGS_MAX);
	read->things[read->things_count].kind = kind;
	/* outlives the handler: who waits is noted when it has returned */
	read->things[read->things_count++].name =
		read->blocking ? arena_str(&x->arena, name) : name;
	read->index = max_of(read->index, index);
	read->shown = max_of(read->shown, shown_index(x, kind, index));
}

void read_thing(struct exchange *x, enum thing kind, struct str name)
{
	add_thing(x, kind, name,
		kind == THING_KV ? thing_kv_index(x->txn, name) : thing_index(x->txn, kind, name));
}

void read_prefix(struct exchange *x, struct str prefix, uint64_t index)
{
	add_thing(x, 0, prefix, index);
}

/* The wait is over, whatever there is to say. */
static bool is_over(const struct exchange *x)
{
	const struct hold *h = x->conn->hold;
	struct catalog_page page;

	if (x->httpd->engine->draining || (h && h->expired)) {
		return true;
	}
	/* A restored snapshot may have moved every index back. */
	return h && h->has_restore_count && state_catalog_page(x->httpd->reader, &page) &&
	       page.restore_count != h->restore_count;
}

bool read_held(struct exchange *x)
{
	struct exchange_read *read = x->read;

	answer_index(x, read->shown);
	read->held = read->blocking && read->index <= read->wanted && !is_over(x);
	return read->held;
}

bool read_held_filtered(struct exchange *x)
{
	struct exchange_read *read = x->read;
	const struct hold *h = x->conn->hold;

	answer_index(x, read->shown);
	read->compare = read->blocking && !is_over(x) &&
			(read->index <= read->wanted || (h && h->has_hash));
	return false;
}
