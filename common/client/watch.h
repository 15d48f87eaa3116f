/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: views of the catalogue, of keys or of events whose changes somebody wants to hear of,
 * `muster watch` on the command line and checkd for the `watches` of the configuration. What they
 * share is pure and stands here: reading a definition with Consul's rules and words, the request
 * that asks for the view, and the answer as a handler gets it. (When to ask again, and when a
 * handler runs, is common/client/watcher.h's.)
 *
 *     watch_parse -> watch_path -> an answer -> watch_result -> JSON for the handler
 */
#ifndef MUSTER_COMMON_CLIENT_WATCH_H
#define MUSTER_COMMON_CLIENT_WATCH_H

#include "common/base/bind.h"

enum watch_type {
	WATCH_KEY,
	WATCH_KEYPREFIX,
	WATCH_SERVICES,
	WATCH_NODES,
	WATCH_SERVICE,
	WATCH_CHECKS,
	WATCH_EVENT,
	WATCH_AGENT_SERVICE,
};

enum watch_handler {
	WATCH_NO_HANDLER, /* of `muster watch`: whoever asks knows what to do */
	WATCH_PROGRAM,	  /* args */
	WATCH_SHELL,	  /* script, for a shell */
	WATCH_HTTP,
};

enum { WATCH_HTTP_TIMEOUT_MS = 10000, WATCH_PROGRAM_TIMEOUT_MS = 3600000 };

struct watch {
	enum watch_type type;
	bool stale, passing_only;
	struct str datacenter, token, key, prefix, service, state, name, service_id;
	struct strs tags;
	enum watch_handler handler;
	struct strs args;
	struct str script;
	struct str url, method;
	const struct json *headers; /* an object of lists of strings; NULL: none */
	bool tls_skip_verify;
	int64_t timeout_ms; /* of one run of the handler */
};

enum watch_source { WATCH_FROM_COMMAND, WATCH_FROM_CONFIGURATION };

/* 0, or ST_INVALID with Consul's text in *why. Strings are borrowed from params, lists live in the
 * arena. */
int watch_parse(struct arena *arena, const struct json *params, enum watch_source source,
	struct watch *out, struct buf *why);

const char *watch_type_name(enum watch_type type);

/* Appends bytes that are equal for two definitions exactly when these mean the same. */
void watch_identity(const struct watch *w, struct buf *out);

/* The request for the view, to be answered when it is no longer what had this index; 0: at once. */
void watch_path(const struct watch *w, uint64_t index, struct buf *out);

/*
 * The JSON for handlers, appended to *out, from an answer's status and body: what Consul's client
 * library makes of it, fields that the answer lacks included. *index is that of the header, and is
 * filled in where the body has it (agent_service). Of events only those behind the one whose index
 * is `after` are left (all, when it is not among them). ST_INVALID with the text in *why where the
 * answer is an error or unreadable.
 */
int watch_result(const struct watch *w, int status, struct str body, uint64_t after,
	uint64_t *index, struct buf *out, struct buf *why);

#endif
