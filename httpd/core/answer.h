/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of an HTTP answer: status, headers, Consul's meta headers. Pure; rendering appends to a
 * buf without allocating anything else.
 */
#ifndef MUSTER_HTTPD_CORE_ANSWER_H
#define MUSTER_HTTPD_CORE_ANSWER_H

#include "common/base/buf.h"

enum { ANSWER_HEADERS_MAX = 8 };

struct answer_header {
	struct str name, value; /* borrowed until the answer is rendered */
};

enum answer_connection { CONNECTION_DEFAULT, CONNECTION_CLOSE, CONNECTION_KEEP_ALIVE };

struct answer {
	int status;
	bool bare;    /* no Vary, no configured headers */
	bool gzip;    /* the body is compressed */
	bool chunked; /* instead of Content-Length */
	bool http_1_0;
	enum answer_connection connection;
	struct str content_type; /* "": none */
	uint64_t index;		 /* X-Consul-Index; 0: not sent */
	bool has_leader;	 /* X-Consul-Knownleader and X-Consul-Lastcontact are sent */
	bool known_leader;
	uint64_t last_contact_ms;
	const char *consistency; /* X-Consul-Effective-Consistency; NULL: not sent */
	struct answer_header headers[ANSWER_HEADERS_MAX];
	uint32_t headers_count;
	struct str lines; /* complete ones that somebody else made */
	uint64_t content_length;
};

/* configured: complete header lines of the configuration, each with CRLF. date: "Date: ...\r\n". */
void answer_render(const struct answer *a, struct str configured, struct str date, struct buf *out);
/* "OK"; "" for codes that are never used. */
struct str answer_status_text(int status);

#endif
