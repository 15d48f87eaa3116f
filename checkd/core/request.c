/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of Go's net/http and net/url, as far as they refuse.
 */
#include "checkd/core/request.h"

#include "common/base/err.h"

void request_render(struct buf *out, struct str method, struct str url)
{
	for (size_t i = 0; i < method.n; i++) {
		bool upper = method.p[i] >= 'A' && method.p[i] <= 'Z';

		buf_put_char(out, i && upper ? (char)(method.p[i] + 32) : method.p[i]);
	}
	buf_printf(out, " \"" STR_FMT "\": ", STR_ARG(url));
}

/* As strconv.Quote writes it. */
static void quoted_put(struct buf *out, struct str s)
{
	static const char escaped[] = "\a\b\f\n\r\t\v\"\\", letters[] = "abfnrtv\"\\";
	bool text = utf8_valid(s);

	buf_put_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		const char *known = c ? strchr(escaped, c) : NULL;

		if (known) {
			buf_printf(out, "\\%c", letters[known - escaped]);
		} else if (c == 0x7f) {
			buf_put_lit(out, "\\u007f");
		} else if (c < ' ' || (c >= 0x80 && !text)) {
			buf_printf(out, "\\x%02x", c);
		} else {
			buf_put_char(out, (char)c);
		}
	}
	buf_put_char(out, '"');
}

static int refuse(struct buf *why, const char *before, struct str what, const char *behind)
{
	buf_put_cstr(why, before);
	quoted_put(why, what);
	buf_put_cstr(why, behind);
	return ST_INVALID;
}

/* RFC 7230, section 3.2.6 */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c))) {
			return false;
		}
	}
	return s.n > 0;
}

static bool is_field_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < ' ' && c != '\t') || c == 0x7f) {
			return false;
		}
	}
	return true;
}

/* ---- URLs ---- */

struct url {
	struct str scheme, host, rest;
};

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int escapes_check(struct str s, struct buf *why)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%' && (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2]))) {
			return refuse(why, "invalid URL escape ", str_cut(str_skip(s, i), 3), "");
		}
	}
	return 0;
}

static int host_check(struct str host, struct buf *why)
{
	if (str_starts(host, STR("[")) && str_find(host, ']') < 0) {
		buf_put_lit(why, "missing ']' in host");
		return ST_INVALID;
	}
	for (size_t i = 0; i < host.n; i++) {
		if ((unsigned char)host.p[i] <= ' ' || strchr("\\^`{|}", host.p[i])) {
			return refuse(
				why, "invalid character ", str_n(host.p + i, 1), " in host name");
		}
	}
	return 0;
}

static int url_split(struct str url, struct url *out, struct buf *why)
{
	ssize_t colon = str_find(url, ':'), slash = str_find(url, '/');
	struct str rest, authority, user;
	size_t n = 0;

	*out = (struct url) { STR(""), STR(""), url };
	if (colon == 0) {
		buf_put_lit(why, "missing protocol scheme");
		return ST_INVALID;
	}
	if (colon > 0 && (slash < 0 || colon < slash)) {
		out->scheme = str_cut(url, (size_t)colon);
		out->rest = str_skip(url, (size_t)colon + 1);
	}
	if (!str_starts(out->rest, STR("//"))) {
		return 0;
	}
	rest = str_skip(out->rest, 2);
	while (n < rest.n && !strchr("/?#", rest.p[n])) {
		n++;
	}
	authority = str_cut(rest, n);
	out->rest = str_skip(rest, n);
	user = str_split(authority, '@', &out->host);
	out->host = out->host.p ? out->host : user;
	return host_check(out->host, why);
}

static int url_check(struct str url, struct url *out, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	struct str query, path;

	if (!is_field_value(url) || str_find(url, '\t') >= 0) {
		buf_put_lit(&reason, "net/url: invalid control character in URL");
	} else if (url_split(url, out, &reason) == 0) {
		path = str_split(out->rest, '?', &query);
		(void)escapes_check(path, &reason);
	}
	if (reason.n == 0) {
		return 0;
	}
	refuse(why, "parse ", url, ": ");
	buf_put_str(why, buf_str(&reason));
	return ST_INVALID;
}

/* ---- headers ---- */

static int headers_check(const struct json *headers, struct buf *why)
{
	const struct json *list, *item;

	json_for_each (list, headers) {
		if (!is_token(list->key)) {
			return refuse(why, "net/http: invalid header field name ", list->key, "");
		}
		json_for_each (item, list) {
			if (!is_field_value(item->text)) {
				refuse(why, "net/http: invalid header field value ", item->text,
					" for key ");
				buf_put_str(why, list->key);
				return ST_INVALID;
			}
		}
	}
	return 0;
}

static int sending_check(const struct url *u, const struct json *headers, struct buf *why)
{
	bool http = str_ieq(u->scheme, STR("http")) || str_ieq(u->scheme, STR("https"));

	if (http && headers && headers_check(headers, why)) {
		return ST_INVALID;
	}
	if (!http) {
		return refuse(why, "unsupported protocol scheme ", u->scheme, "");
	}
	if (u->host.n == 0) {
		buf_put_lit(why, "http: no Host in request URL");
		return ST_INVALID;
	}
	return 0;
}

int request_check(struct str method, struct str url, const struct json *headers, struct buf *why)
{
	OWN_EMBEDDED(buf_fini) struct buf reason = { 0 };
	struct url u;

	if (!is_token(method)) {
		return refuse(why, "net/http: invalid method ", method, "");
	}
	if (url_check(url, &u, why)) {
		return ST_INVALID;
	}
	if (sending_check(&u, headers, &reason) == 0) {
		return 0;
	}
	request_render(why, method, url);
	buf_put_str(why, buf_str(&reason));
	return ST_INVALID;
}
