/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prepared queries: what catalogd, which stores them, and httpd, which executes them, both know.
 *
 * A template is a query whose texts below Service hold ${...} (common/base/template.h). It answers
 * to every name that begins with its own; the longest such template is meant, and a query of
 * exactly that name before any of them. Case does not matter.
 */
#ifndef MUSTER_COMMON_MSG_QUERY_H
#define MUSTER_COMMON_MSG_QUERY_H

#include "common/msg/state.h"

enum { QUERY_BYTES_MAX = 64 << 10, QUERIES_MAX = 16384 };

/* What a definition may not say, with Consul's words in *why: ST_INVALID. */
int query_check(const struct query_def *q, struct buf *why);

static inline bool query_is_template(const struct query_def *q)
{
	return q->template_type.n > 0;
}

/* The same about a template: its type, its texts, its expression, and that it can be filled in. */
int query_template_check(const struct query_def *q, struct buf *why);

/* The query that a template becomes for a name, in the arena. ST_INVALID with the words in *why. */
int query_template_fill(const struct query_def *q, struct str name, struct arena *arena,
	struct query_def *out, struct buf *why);

/* As Consul shows it. */
void query_json(
	struct buf *out, const struct query_def *q, uint64_t create_index, uint64_t modify_index);

/* The row of a query in QUERY_NAMES: kind 'n' by its name, 't' as a template. */
struct str query_name_key(
	struct state_key *room, char kind, struct str name, const struct uuid *id);
/* The query, or template, of exactly this name, other than `but` (may be NULL). */
bool query_name_find(
	struct kv_txn *t, char kind, struct str name, const struct uuid *but, struct uuid *out);

/*
 * The query that an ID or a name stands for, a template filled in. ST_NOT_FOUND; ST_INVALID with
 * the words in *why. *out is borrowed from t and the arena.
 */
int query_resolve(struct kv_txn *t, struct str id_or_name, struct arena *arena,
	struct query_record *out, struct buf *why);

#endif
