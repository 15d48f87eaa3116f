/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP API of an agent as commands use it (libcurl, only in api.c). Flags beat the environment:
 * -http-addr CONSUL_HTTP_ADDR, -token CONSUL_HTTP_TOKEN, -token-file, -ca-file CONSUL_CACERT ...
 * Errors are worded as Consul's client library does.
 */
#ifndef MUSTER_CTL_API_H
#define MUSTER_CTL_API_H

#include <stdio.h>

#include "common/base/json.h"
#include "ctl/ctl.h"

struct api {
	const char *http_addr, *token, *token_file, *ca_file, *ca_path, *client_cert, *client_key,
		*tls_server_name;
	const char *datacenter, *namespace;
	bool stale;
	void *curl, *multi;
	int wake_fd;	    /* > 0: a request ends with ST_AGAIN once this is readable */
	int64_t timeout_ms; /* of a request; 0: none */
	struct buf base;    /* "http://127.0.0.1:8500" */
	struct buf url;	    /* the same for curl, with the name that TLS shall find */
	struct buf host;    /* a header of its own where the two differ */
	void *connect_to;
	const char *unix_path; /* NULL: by TCP */
	struct buf token_text;
	struct buf error;   /* text of the last failure */
	struct arena arena; /* of parsed answers */
};

void api_fini(struct api *a);

/*
 * The common begin of a command that talks to an agent: its own flags are in the set already; adds
 * the shared ones (datacenter and stale when reads), parses, prepares. Like ctl_begin.
 */
int api_begin(struct ctl *c, struct api *a, struct flagset *f, bool reads, const char *usage,
	const char *about, int argc, char **argv);

struct api_answer {
	long status;
	uint64_t index;
	struct buf body;
};

void api_answer_fini(struct api_answer *answer);

/* Paths: the text plus escaped parts and parameters. */
void path_put(struct buf *path, const char *part); /* escaped, "/" kept */
void path_query(struct buf *path, const char *name,
	const char *value); /* ?name=value or &name=value; nothing when value is "" */
void path_query_n(struct buf *path, const char *name, uint64_t value);
void path_mark(struct buf *path, const char *name); /* a parameter without a value */

/* ST_CLOSED when there is no answer (text in a->error), ST_AGAIN when wake_fd ended it, else 0
 * whatever the status. */
int api_call(struct api *a, const char *method, struct buf *path, struct str body,
	struct api_answer *out);

/* As api_call, but anything else than 200 is ST_INVALID with "Unexpected response code: 500
 * (text)". */
int api_ask(struct api *a, const char *method, struct buf *path, struct str body,
	struct api_answer *out);

/* GET and parse; the tree lives in a->arena. Error texts as above. */
int api_get(struct api *a, struct buf *path, const struct json **out);

/* The body goes to on_data as it comes; false ends the transfer. */
int api_stream(struct api *a, const char *method, struct buf *path, FILE *upload,
	bool (*on_data)(void *arg, struct str data), void *arg, struct api_answer *out);

const char *api_error(struct api *a); /* the text of the last failure */

/* Fields of answers: "" or 0 when absent. */
const char *field_text(const struct json *object, const char *name);
uint64_t field_u64(const struct json *object, const char *name);
bool field_bool(const struct json *object, const char *name);

/* The words of a data argument: "-" is stdin, "@file" a file, else the text. ST_NOT_FOUND with Go's
 * text in *why. */
int data_read(const char *word, struct buf *out, struct buf *why);

#endif
