/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as Consul's autopilot has them, see the header.
 */
#include "catalogd/core/autopilot.h"

void autopilot_config_default(struct autopilot_config *out)
{
	*out = (struct autopilot_config) {
		.cleanup_dead_servers = true,
		.last_contact_threshold_ns = 200 * NS_PER_MS,
		.max_trailing_logs = 250,
		.server_stabilization_ns = 10 * NS_PER_S,
		.redundancy_zone_tag = STR(""),
		.upgrade_version_tag = STR(""),
	};
}

void autopilot_init_core(struct autopilot *a)
{
	*a = (struct autopilot) { .known_count = 0 };
}

static struct autopilot_known *known_find(struct autopilot *a, const struct uuid *id)
{
	for (size_t i = 0; i < a->known_count; i++) {
		if (uuid_eq(&a->known[i].id, id)) {
			return &a->known[i];
		}
	}
	return NULL;
}

/* "Healthy: alive in the pool, of the leader's term, in contact, and its log not far behind." */
static bool looks_healthy(const struct autopilot_config *c, const struct autopilot_view *view,
	const struct autopilot_sight *s)
{
	if (s->leader) {
		return true;
	}
	if (!s->connected || s->pool == POOL_FAILED || s->pool == POOL_LEFT) {
		return false;
	}
	return s->last_term == view->term && s->last_contact_ms >= 0 &&
	       s->last_contact_ms * NS_PER_MS <= c->last_contact_threshold_ns &&
	       s->last_index + c->max_trailing_logs >= view->last_index;
}

static bool reachable(const struct autopilot_sight *s)
{
	return s->leader || (s->connected && s->pool != POOL_FAILED);
}

static void follow(struct autopilot *a, const struct autopilot_config *c,
	const struct autopilot_view *view, const struct autopilot_sight *s)
{
	struct autopilot_known *k = known_find(a, &s->id);
	bool healthy = looks_healthy(c, view, s);

	if (!k) {
		if (a->known_count == AUTOPILOT_SERVERS_MAX) {
			return;
		}
		k = &a->known[a->known_count++];
		*k = (struct autopilot_known) { .id = s->id,
			.healthy = healthy,
			.early = !a->began,
			.since = view->now,
			.since_wall = view->now_wall,
			.gone_since = MONO_NEVER };
	}
	k->seen = true;
	if (k->healthy != healthy) {
		k->healthy = healthy;
		k->early = false;
		k->since = view->now;
		k->since_wall = view->now_wall;
	}
	if (reachable(s)) {
		k->gone_since = MONO_NEVER;
	} else if (k->gone_since.ns == INT64_MAX) {
		k->gone_since = view->now;
	}
	k->removed = s->connected && !s->member && (k->removed || (k->was_member && !k->left));
	k->left = k->left && s->connected && !s->member;
	k->was_member = s->member;
}

static void forget_unseen(struct autopilot *a)
{
	size_t kept = 0;

	for (size_t i = 0; i < a->known_count; i++) {
		if (a->known[i].seen) {
			a->known[kept++] = a->known[i];
		}
	}
	a->known_count = kept;
}

/* Out of reach for long enough to be given up. The pool's word counts at once: it has asked
 * around. */
static bool is_dead(struct autopilot *a, const struct autopilot_config *c,
	const struct autopilot_view *view, const struct autopilot_sight *s)
{
	const struct autopilot_known *k = known_find(a, &s->id);

	if (s->leader || s->connected || !k || k->gone_since.ns == INT64_MAX) {
		return false;
	}
	return s->pool == POOL_FAILED ||
	       mono_diff_ns(view->now, k->gone_since) >= c->server_stabilization_ns;
}

struct voters {
	uint32_t all, away, dead, healthy; /* away: out of reach, dead or not yet */
};

static struct voters voters_count(
	struct autopilot *a, const struct autopilot_config *c, const struct autopilot_view *view)
{
	struct voters v = { 0 };

	for (size_t i = 0; i < view->servers_count; i++) {
		const struct autopilot_sight *s = &view->servers[i];
		const struct autopilot_known *k = known_find(a, &s->id);

		if (s->member && s->voter) {
			v.all++;
			v.away += !reachable(s);
			v.dead += is_dead(a, c, view, s);
			v.healthy += k && k->healthy;
		}
	}
	return v;
}

/* "Never more than a minority, and never below min_quorum." What remains must be able to go on
 * when one of it fails right then, as far as it could before. */
static bool may_remove_dead(const struct autopilot_config *c, const struct voters *v)
{
	return v->dead <= (v->all - 1) / 2 && v->all - v->dead >= c->min_quorum &&
	       v->healthy > (v->all - 1) / 2;
}

static bool decide(struct autopilot_decision *out, enum autopilot_action action,
	const struct autopilot_sight *s, const char *why)
{
	*out = (struct autopilot_decision) { .action = action, .id = s->id, .why = why };
	return true;
}

static void left_note(struct autopilot *a, const struct uuid *id)
{
	struct autopilot_known *k = known_find(a, id);

	if (k) {
		k->left = true;
	}
}

static bool remove_one(struct autopilot *a, const struct autopilot_config *c,
	const struct autopilot_view *view, struct autopilot_decision *out)
{
	struct voters v = voters_count(a, c, view);

	for (size_t i = 0; i < view->servers_count; i++) {
		const struct autopilot_sight *s = &view->servers[i];

		if (!s->member || s->leader) {
			continue;
		}
		if (s->pool == POOL_LEFT) {
			left_note(a, &s->id);
			return decide(out, AUTOPILOT_REMOVE, s, "it left");
		}
		if (!c->cleanup_dead_servers || !is_dead(a, c, view, s)) {
			continue;
		}
		if (!s->voter) {
			return decide(out, AUTOPILOT_REMOVE, s, "a dead non-voter");
		}
		if (a->replaced && may_remove_dead(c, &v)) {
			return decide(out, AUTOPILOT_REMOVE, s, "dead, and a new one has come");
		}
	}
	if (!v.away) {
		a->replaced = false; /* what goes later waits for another replacement */
	}
	return false;
}

static bool is_stable(const struct autopilot_known *k, const struct autopilot_config *c,
	const struct autopilot_view *view)
{
	return k->healthy &&
	       (k->early || mono_diff_ns(view->now, k->since) >= c->server_stabilization_ns);
}

static bool promote_one(struct autopilot *a, const struct autopilot_config *c,
	const struct autopilot_view *view, struct autopilot_decision *out)
{
	for (size_t i = 0; i < view->servers_count; i++) {
		const struct autopilot_sight *s = &view->servers[i];
		const struct autopilot_known *k = known_find(a, &s->id);

		if (s->member && !s->voter && !s->read_replica && k && is_stable(k, c, view)) {
			return decide(out, AUTOPILOT_PROMOTE, s, "it is stable");
		}
	}
	return false;
}

static bool add_one(
	struct autopilot *a, const struct autopilot_view *view, struct autopilot_decision *out)
{
	for (size_t i = 0; i < view->servers_count; i++) {
		const struct autopilot_sight *s = &view->servers[i];
		const struct autopilot_known *k = known_find(a, &s->id);

		if (s->member && s->moved) {
			return decide(out, AUTOPILOT_ADD, s, "it has another address");
		}
		if (!s->member && s->connected && k && !k->removed && s->pool == POOL_ALIVE) {
			a->replaced = true;
			return decide(out, AUTOPILOT_ADD, s, "it is new");
		}
	}
	return false;
}

void autopilot_step(struct autopilot *a, const struct autopilot_config *c,
	const struct autopilot_view *view, struct autopilot_decision *out)
{
	*out = (struct autopilot_decision) { .action = AUTOPILOT_NOTHING };
	for (size_t i = 0; i < a->known_count; i++) {
		a->known[i].seen = false;
	}
	for (size_t i = 0; i < view->servers_count; i++) {
		follow(a, c, view, &view->servers[i]);
	}
	forget_unseen(a);
	a->began = true;
	if (!remove_one(a, c, view, out) && !promote_one(a, c, view, out)) {
		add_one(a, view, out);
	}
}

bool autopilot_healthy(const struct autopilot *a, const struct uuid *id, struct wall *since_out)
{
	for (size_t i = 0; i < a->known_count; i++) {
		if (uuid_eq(&a->known[i].id, id)) {
			*since_out = a->known[i].since_wall;
			return a->known[i].healthy;
		}
	}
	*since_out = (struct wall) { 0 };
	return false;
}

uint32_t autopilot_tolerance(
	const struct autopilot *a, const struct autopilot_view *view, bool *all_healthy_out)
{
	uint32_t voters = 0, healthy_voters = 0;
	struct wall since;

	*all_healthy_out = true;
	for (size_t i = 0; i < view->servers_count; i++) {
		const struct autopilot_sight *s = &view->servers[i];
		bool healthy = autopilot_healthy(a, &s->id, &since);

		if (!s->member) {
			continue;
		}
		*all_healthy_out &= healthy;
		voters += s->voter;
		healthy_voters += s->voter && healthy;
	}
	return healthy_voters > voters / 2 + 1 ? healthy_voters - (voters / 2 + 1) : 0;
}
