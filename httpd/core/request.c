/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request says besides its syntax: path, parameters, token, accepted coding.
 */
#include "httpd/core/request.h"

#include "httpd/core/parser.h"
#include "httpd/core/uri.h"

const char *method_name(enum method method)
{
	static const char *const names[] = {
		[METHOD_GET] = "GET",
		[METHOD_POST] = "POST",
		[METHOD_PUT] = "PUT",
		[METHOD_DELETE] = "DELETE",
		[METHOD_OPTIONS] = "OPTIONS",
		[METHOD_HEAD] = "HEAD",
		[METHOD_OTHER] = "OTHER",
	};

	return names[method];
}

/* RFC 7230, 5.4: a request of HTTP/1.1 has exactly one Host. */
static int check_hosts(const struct request *r, struct str *why_out)
{
	unsigned hosts = 0;

	for (uint32_t i = 0; i < r->headers_count; i++) {
		hosts += str_ieq(r->headers[i].name, STR("host"));
	}
	if (hosts > 1) {
		*why_out = STR("too many Host headers");
		return ST_INVALID;
	}
	if (hosts == 0 && !r->http_1_0) {
		*why_out = STR("missing required Host header");
		return ST_INVALID;
	}
	return 0;
}

/* absolute-form (RFC 7230, 5.3.2): what stands before the path is of no interest. */
static struct str without_authority(struct str target)
{
	ssize_t at;

	if (target.n && target.p[0] == '/') {
		return target;
	}
	at = str_find_str(target, STR("://"));
	if (at < 0) {
		return target;
	}
	target = str_skip(target, (size_t)at + 3);
	at = str_find(target, '/');
	return at < 0 ? STR("/") : str_skip(target, (size_t)at);
}

static int split_target(struct request *r, struct arena *arena)
{
	struct str path;
	int rc;

	r->target = without_authority(r->target);
	path = str_split(r->target, '?', &r->raw_query);
	rc = uri_decode(path, false, arena, &r->path);
	return rc ? rc : uri_parse_query(r, arena);
}

int request_parse(struct str head, struct arena *arena, struct request *out, struct str *why_out)
{
	struct str expect;
	int rc;

	*out = (struct request) { .name = STR(""), .body = STR(""), .content_length = -1 };
	*why_out = STR("");
	rc = parser_head(head, arena, out, why_out);
	if (rc) {
		return rc;
	}
	rc = check_hosts(out, why_out);
	if (rc) {
		return rc;
	}
	if (request_header(out, "transfer-encoding").n && !out->chunked) {
		return ST_UNSUPPORTED;
	}
	expect = request_header(out, "expect");
	if (expect.n) {
		out->expects_continue = str_ieq(expect, STR("100-continue"));
		out->expects_other = !out->expects_continue;
	}
	return split_target(out, arena);
}

bool request_param_next(
	const struct request *r, const char *name, uint32_t *at, struct str *value_out)
{
	struct str wanted = str_of(name);

	for (; *at < r->params_count; (*at)++) {
		if (str_eq(r->params[*at].name, wanted)) {
			*value_out = r->params[(*at)++].value;
			return true;
		}
	}
	return false;
}

struct str request_param(const struct request *r, const char *name)
{
	struct str value;
	uint32_t at = 0;

	return request_param_next(r, name, &at, &value) ? value : STR_NONE;
}

bool request_has(const struct request *r, const char *name)
{
	return request_param(r, name).p;
}

struct str request_header(const struct request *r, const char *name)
{
	struct str wanted = str_of(name);

	for (uint32_t i = 0; i < r->headers_count; i++) {
		if (str_ieq(r->headers[i].name, wanted)) {
			return r->headers[i].value;
		}
	}
	return STR_NONE;
}

struct str request_token(const struct request *r)
{
	struct str token = request_param(r, "token"), scheme, rest;

	if (token.n) {
		return token;
	}
	token = request_header(r, "x-consul-token");
	if (token.n) {
		return token;
	}
	scheme = str_split(request_header(r, "authorization"), ' ', &rest);
	if (!rest.p || !str_ieq(scheme, STR("bearer"))) {
		return STR("");
	}
	token = str_split(str_trim(rest), ' ', &rest);
	return token.n ? token : STR("");
}

/* RFC 7231, 5.3.4, as far as anybody uses it: gzip listed, and not with q=0. */
bool request_accepts_gzip(const struct request *r)
{
	struct str rest = request_header(r, "accept-encoding"), coding, weight;

	while (rest.p) {
		coding = str_split(str_split(rest, ',', &rest), ';', &weight);
		if (!str_ieq(str_trim(coding), STR("gzip"))) {
			continue;
		}
		weight = str_trim(weight);
		if (!str_istarts(weight, STR("q=0"))) {
			return true;
		}
		for (size_t i = 3; i < weight.n; i++) {
			if (weight.p[i] >= '1' && weight.p[i] <= '9') {
				return true;
			}
		}
		return false;
	}
	return false;
}
