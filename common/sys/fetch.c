/* SPDX-License-Identifier: Apache-2.0 */
/*
 * curl_multi with our loop as its eyes and clock. The functions come from dlopen, by table.
 */
#define CURL_DISABLE_TYPECHECK
#include "common/sys/fetch.h"

#include <ctype.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdio.h>

#include "common/base/tail.h"
#include "common/sys/log.h"

/* Every function of libcurl that is used here. */
#define FUNCTIONS(F)                                                              \
	F(CURLcode, global_init, (long))                                          \
	F(CURL *, easy_init, (void))                                              \
	F(void, easy_cleanup, (CURL *))                                           \
	F(CURLcode, easy_setopt, (CURL *, CURLoption, ...))                       \
	F(CURLcode, easy_getinfo, (CURL *, CURLINFO, ...))                        \
	F(const char *, easy_strerror, (CURLcode))                                \
	F(struct curl_slist *, slist_append, (struct curl_slist *, const char *)) \
	F(void, slist_free_all, (struct curl_slist *))                            \
	F(CURLM *, multi_init, (void))                                            \
	F(CURLMcode, multi_cleanup, (CURLM *))                                    \
	F(CURLMcode, multi_setopt, (CURLM *, CURLMoption, ...))                   \
	F(CURLMcode, multi_add_handle, (CURLM *, CURL *))                         \
	F(CURLMcode, multi_remove_handle, (CURLM *, CURL *))                      \
	F(CURLMcode, multi_socket_action, (CURLM *, curl_socket_t, int, int *))   \
	F(CURLMcode, multi_assign, (CURLM *, curl_socket_t, void *))              \
	F(CURLMsg *, multi_info_read, (CURLM *, int *))

struct library {
#define F(type, name, args) type(*name) args;
	FUNCTIONS(F)
#undef F
};

struct fetcher {
	struct loop *loop;
	struct library curl;
	void *handle; /* NULL: not loaded yet */
	CURLM *multi;
	struct loop_timer timer;
	struct list fetches, hopeless; /* hopeless: could not be started */
	struct loop_timer soon;
};

struct socket_watch {
	struct fetcher *fetcher;
	curl_socket_t fd;
	struct loop_io io;
};

struct fetch {
	struct list link;
	struct fetcher *fetcher;
	fetch_fn on_done;
	void *arg;
	CURL *easy;
	struct curl_slist *headers, *connect_to;
	struct buf url, body, status_line;
	struct tail received;
	bool head_complete; /* of the last answer, where there are redirects */
	bool follow, moved; /* moved: this answer says where to go instead */
	const char *headers_wanted[FETCH_HEADERS_WANTED];
	struct buf header_values[FETCH_HEADERS_WANTED];
	char error[CURL_ERROR_SIZE];
	const char *hopeless;
};

/* ---- loading ---- */

static bool symbols_find(struct fetcher *f, void *handle)
{
	const struct {
		const char *name;
		void *at;
	} rows[] = {
#define F(type, name, args) { "curl_" #name, &f->curl.name },
		FUNCTIONS(F)
#undef F
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		void *symbol = dlsym(handle, rows[i].name);

		if (!symbol) {
			return false;
		}
		memcpy(rows[i].at, &symbol, sizeof(symbol));
	}
	return true;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch);
static int on_timeout_change(CURLM *multi, long timeout_ms, void *arg);

static bool library_load(struct fetcher *f)
{
	static const char *const names[] = { "libcurl-gnutls.so.4", "libcurl.so.4" };
	void *handle = NULL;

	if (f->handle) {
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(names) && !handle; i++) {
		handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
	}
	if (!handle || !symbols_find(f, handle) || f->curl.global_init(CURL_GLOBAL_DEFAULT)) {
		log_error("libcurl-missing", "error=\"%s\"", handle ? "too old" : dlerror());
		return false;
	}
	f->handle = handle;
	f->multi = f->curl.multi_init();
	must(f->multi);
	f->curl.multi_setopt(f->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	f->curl.multi_setopt(f->multi, CURLMOPT_SOCKETDATA, f);
	f->curl.multi_setopt(f->multi, CURLMOPT_TIMERFUNCTION, on_timeout_change);
	f->curl.multi_setopt(f->multi, CURLMOPT_TIMERDATA, f);
	return true;
}

/* ---- the loop ---- */

static void finished_collect(struct fetcher *f);

static void on_socket_io(void *arg, int events)
{
	struct socket_watch *w = arg;
	struct fetcher *f = w->fetcher;
	int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) |
		   (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	f->curl.multi_socket_action(f->multi, w->fd, mask, &running);
	finished_collect(f);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *watch)
{
	struct fetcher *f = arg;
	struct socket_watch *w = watch;

	if (what == CURL_POLL_REMOVE) {
		if (w) {
			loop_io_set(&w->io, 0);
			free(w);
			f->curl.multi_assign(f->multi, fd, NULL);
		}
		return 0;
	}
	if (!w) {
		w = xcalloc(1, sizeof(*w));
		w->fetcher = f;
		w->fd = fd;
		loop_io_init(&w->io, f->loop, fd, on_socket_io, w);
		f->curl.multi_assign(f->multi, fd, w);
	}
	loop_io_set(&w->io,
		(what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0));
	return 0;
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *arg)
{
	struct fetcher *f = arg;

	if (timeout_ms < 0) {
		loop_timer_stop(&f->timer);
	} else {
		loop_timer_in(&f->timer, timeout_ms);
	}
	return 0;
}

static void on_timer(void *arg)
{
	struct fetcher *f = arg;
	int running;

	f->curl.multi_socket_action(f->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finished_collect(f);
}

/* ---- what curl hands over ---- */

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct fetch *q = arg;

	tail_put(&q->received, str_n(p, size * count));
	return size * count;
}

/* It is not the answer that was asked for: whatever becomes of that one. */
static bool is_followed(const struct fetch *q)
{
	return q->follow && q->moved && str_starts(buf_str(&q->status_line), STR("3"));
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
	struct fetch *q = arg;
	struct str value, name, line = str_trim(str_n(p, size * count));

	q->head_complete = line.n == 0 && !is_followed(q);
	if (str_starts(line, STR("HTTP/"))) {
		q->moved = false;
		str_split(line, ' ', &value);
		buf_clear(&q->status_line);
		buf_put_str(&q->status_line, value);
		return size * count;
	}
	name = str_split(line, ':', &value);
	q->moved = q->moved || str_ieq(name, STR("Location"));
	for (size_t i = 0; i < FETCH_HEADERS_WANTED; i++) {
		if (q->headers_wanted[i] && str_ieq(name, str_of(q->headers_wanted[i]))) {
			buf_clear(&q->header_values[i]);
			buf_put_str(&q->header_values[i], str_trim(value));
		}
	}
	return size * count;
}

/* ---- the end of a fetch ---- */

void fetch_cancel(struct fetch *q)
{
	struct fetcher *f = q->fetcher;

	if (q->easy) {
		f->curl.multi_remove_handle(f->multi, q->easy);
		f->curl.easy_cleanup(q->easy);
		f->curl.slist_free_all(q->headers);
		f->curl.slist_free_all(q->connect_to);
	}
	list_del(&q->link);
	for (size_t i = 0; i < FETCH_HEADERS_WANTED; i++) {
		buf_fini(&q->header_values[i]);
	}
	buf_fini(&q->url);
	buf_fini(&q->body);
	buf_fini(&q->status_line);
	tail_fini(&q->received);
	free(q);
}

struct target {
	bool tls;
	struct str user; /* with its @ */
	struct str host; /* an IPv6 address has its brackets */
	struct str port; /* never empty */
	struct str rest; /* from the path on */
};

/* What stands in an absolute URL. */
static struct target target_of(struct str url)
{
	ssize_t scheme = str_find_str(url, STR("://")), at, colon;
	struct target t = { .tls = str_istarts(url, STR("https:")) };

	t.rest = str_skip(url, scheme < 0 ? 0 : (size_t)scheme + 3);
	t.host = t.rest;
	for (size_t i = 0; i < t.host.n; i++) {
		if (strchr("/?#", t.host.p[i])) {
			t.host.n = i;
		}
	}
	t.rest = str_skip(t.rest, t.host.n);
	at = str_rfind(t.host, '@');
	t.user = str_cut(t.host, (size_t)(at + 1));
	t.host = str_skip(t.host, (size_t)(at + 1));
	colon = str_rfind(t.host, ':');
	t.port = t.tls ? STR("443") : STR("80");
	if (colon > str_rfind(t.host, ']')) {
		t.port = str_skip(t.host, (size_t)colon + 1);
		t.host = str_cut(t.host, (size_t)colon);
	}
	return t;
}

static void dial_error_put(struct fetch *q, struct buf *out)
{
	const char *address = NULL, *words;
	long error = 0, port = 0;

	q->fetcher->curl.easy_getinfo(q->easy, CURLINFO_OS_ERRNO, &error);
	q->fetcher->curl.easy_getinfo(q->easy, CURLINFO_PRIMARY_IP, &address);
	q->fetcher->curl.easy_getinfo(q->easy, CURLINFO_PRIMARY_PORT, &port);
	words = error ? strerror((int)error) : "connection refused";
	buf_put_lit(out, "dial tcp ");
	if (address && *address && port) {
		buf_printf(out, strchr(address, ':') ? "[%s]:%ld" : "%s:%ld", address, port);
	} else {
		struct target t = target_of(buf_str(&q->url));

		buf_printf(out, STR_FMT ":" STR_FMT, STR_ARG(t.host), STR_ARG(t.port));
	}
	buf_printf(out, ": connect: %c%s", tolower((unsigned char)words[0]), words + 1);
}

static void lookup_error_put(struct fetch *q, struct buf *out)
{
	struct target t = target_of(buf_str(&q->url));

	buf_printf(out, "dial tcp: lookup " STR_FMT ": no such host", STR_ARG(t.host));
}

static void error_put(struct fetch *q, CURLcode code, struct buf *out)
{
	struct str scheme = buf_str(&q->url);

	switch (code) {
	case CURLE_COULDNT_CONNECT:
		dial_error_put(q, out);
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
		lookup_error_put(q, out);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		buf_put_lit(out, "context deadline exceeded (Client.Timeout exceeded while "
				 "awaiting headers)");
		break;
	case CURLE_UNSUPPORTED_PROTOCOL:
		scheme = str_cut(scheme, (size_t)max_of(str_find_str(scheme, STR("://")), 0));
		buf_printf(out, "unsupported protocol scheme \"" STR_FMT "\"", STR_ARG(scheme));
		break;
	case CURLE_GOT_NOTHING:
		buf_put_lit(out, "EOF");
		break;
	case CURLE_TOO_MANY_REDIRECTS:
		buf_printf(out, "stopped after %d redirects", FETCH_REDIRECTS_MAX);
		break;
	default:
		buf_put_cstr(out, q->error[0] ? q->error : q->fetcher->curl.easy_strerror(code));
	}
}

/* An answer whose head has come counts, whatever becomes of its body (as in Consul). */
static bool is_answered(const struct fetch *q, CURLcode code)
{
	bool body_broken = code == CURLE_RECV_ERROR || code == CURLE_PARTIAL_FILE ||
			   code == CURLE_OPERATION_TIMEDOUT;

	return code == CURLE_OK || (q->head_complete && body_broken);
}

static void fetch_end(struct fetch *q, CURLcode code)
{
	OWN_EMBEDDED(buf_fini) struct buf body = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf error = { 0 };
	struct fetch_result result = { .status_line = buf_str(&q->status_line) };
	long status = 0;

	if (q->hopeless) {
		buf_put_cstr(&error, q->hopeless);
	} else if (!is_answered(q, code)) {
		error_put(q, code, &error);
	} else {
		q->fetcher->curl.easy_getinfo(q->easy, CURLINFO_RESPONSE_CODE, &status);
		tail_render(&q->received, &body);
	}
	result.status = (int)status;
	result.body = buf_str(&body);
	result.error = buf_str(&error);
	for (size_t i = 0; i < FETCH_HEADERS_WANTED; i++) {
		result.headers[i] = buf_str(&q->header_values[i]);
	}
	q->on_done(q->arg, &result);
	fetch_cancel(q);
}

static void finished_collect(struct fetcher *f)
{
	CURLMsg *m;
	int left;

	while ((m = f->curl.multi_info_read(f->multi, &left))) {
		struct fetch *q = NULL;

		if (m->msg == CURLMSG_DONE) {
			f->curl.easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &q);
			fetch_end(q, m->data.result);
		}
	}
}

static void on_soon(void *arg)
{
	struct fetcher *f = arg;

	while (!list_empty(&f->hopeless)) {
		fetch_end(list_first(&f->hopeless, struct fetch, link), CURLE_FAILED_INIT);
	}
}

/* ---- the beginning ---- */

static void set_str(struct fetch *q, CURLoption option, struct str value)
{
	if (value.n) {
		OWN(free) char *text = str_dup(value);

		q->fetcher->curl.easy_setopt(q->easy, option, text); /* copied by curl */
	}
}

static void tls_set(struct fetch *q, const struct fetch_request *r)
{
	struct library *l = &q->fetcher->curl;

	l->easy_setopt(q->easy, CURLOPT_SSL_VERIFYPEER, r->tls_skip_verify ? 0L : 1L);
	l->easy_setopt(q->easy, CURLOPT_SSL_VERIFYHOST, r->tls_skip_verify ? 0L : 2L);
	set_str(q, CURLOPT_CAINFO, r->ca_file);
	set_str(q, CURLOPT_CAPATH, r->ca_path);
	set_str(q, CURLOPT_SSLCERT, r->cert_file);
	set_str(q, CURLOPT_SSLKEY, r->key_file);
}

static void method_set(struct fetch *q, const struct fetch_request *r)
{
	struct library *l = &q->fetcher->curl;

	if (r->body.n || fetch_method_has_body(r->method)) {
		l->easy_setopt(q->easy, CURLOPT_POSTFIELDSIZE, (long)q->body.n);
		l->easy_setopt(q->easy, CURLOPT_POSTFIELDS, q->body.n ? q->body.p : "");
	}
	if (str_is(r->method, "HEAD")) {
		l->easy_setopt(q->easy, CURLOPT_NOBODY, 1L);
	} else {
		set_str(q, CURLOPT_CUSTOMREQUEST, r->method);
	}
}

static void headers_set(struct fetch *q, const struct fetch_request *r)
{
	struct library *l = &q->fetcher->curl;

	/* What the library would say by itself is left out: it takes a body for a form. */
	q->headers = l->slist_append(q->headers, "Content-Type:");
	q->headers = l->slist_append(q->headers, "Expect:");
	for (uint32_t i = 0; i < r->headers.count; i++) {
		OWN(free) char *line = str_dup(r->headers.items[i]);

		q->headers = l->slist_append(q->headers, line);
	}
	l->easy_setopt(q->easy, CURLOPT_HTTPHEADER, q->headers);
}

static bool name_is_usable(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		if (!isalnum((unsigned char)name.p[i]) && !strchr("-._:", name.p[i])) {
			return false;
		}
	}
	return true;
}

/*
 * curl takes the name for TLS from the URL. So a request for another one goes to a URL with that
 * name, which CONNECT_TO sends where it belongs, with the Host header of the real one. False: the
 * name cannot be one.
 */
static bool server_name_set(struct fetch *q, const struct fetch_request *r)
{
	OWN_EMBEDDED(buf_fini) struct buf url = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf name = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf route = { 0 };
	OWN_EMBEDDED(buf_fini) struct buf host = { 0 };
	struct target t = target_of(r->url);
	struct library *l = &q->fetcher->curl;
	bool has_host = false;

	if (!name_is_usable(r->tls_server_name)) {
		return false;
	}
	buf_printf(&name, str_find(r->tls_server_name, ':') < 0 ? STR_FMT : "[" STR_FMT "]",
		STR_ARG(r->tls_server_name));
	buf_printf(&url, "https://" STR_FMT STR_FMT ":" STR_FMT STR_FMT, STR_ARG(t.user),
		STR_ARG(buf_str(&name)), STR_ARG(t.port), STR_ARG(t.rest));
	buf_printf(&route, STR_FMT ":" STR_FMT ":" STR_FMT ":" STR_FMT, STR_ARG(buf_str(&name)),
		STR_ARG(t.port), STR_ARG(t.host), STR_ARG(t.port));
	q->connect_to = l->slist_append(NULL, buf_cstr(&route));
	l->easy_setopt(q->easy, CURLOPT_CONNECT_TO, q->connect_to);
	l->easy_setopt(q->easy, CURLOPT_URL, buf_cstr(&url));
	for (uint32_t i = 0; i < r->headers.count; i++) {
		has_host = has_host || str_istarts(r->headers.items[i], STR("Host:"));
	}
	if (!has_host) {
		buf_printf(&host, "Host: " STR_FMT, STR_ARG(t.host));
		if (!str_is(t.port, "443")) {
			buf_printf(&host, ":" STR_FMT, STR_ARG(t.port));
		}
		q->headers = l->slist_append(q->headers, buf_cstr(&host));
	}
	return true;
}

static bool options_set(struct fetch *q, const struct fetch_request *r)
{
	struct library *l = &q->fetcher->curl;

	l->easy_setopt(q->easy, CURLOPT_PRIVATE, q);
	l->easy_setopt(q->easy, CURLOPT_NOSIGNAL, 1L);
	l->easy_setopt(q->easy, CURLOPT_ERRORBUFFER, q->error);
	l->easy_setopt(q->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	l->easy_setopt(q->easy, CURLOPT_URL, buf_cstr(&q->url));
	l->easy_setopt(q->easy, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	l->easy_setopt(q->easy, CURLOPT_FORBID_REUSE, 1L);
	l->easy_setopt(q->easy, CURLOPT_FRESH_CONNECT, 1L);
	l->easy_setopt(q->easy, CURLOPT_HTTP_VERSION,
		r->http2 ? (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE : (long)CURL_HTTP_VERSION_1_1);
	l->easy_setopt(q->easy, CURLOPT_FOLLOWLOCATION, r->follow ? 1L : 0L);
	l->easy_setopt(q->easy, CURLOPT_MAXREDIRS, (long)FETCH_REDIRECTS_MAX);
	l->easy_setopt(q->easy, CURLOPT_PROXY, "");
	l->easy_setopt(q->easy, CURLOPT_WRITEFUNCTION, on_body);
	l->easy_setopt(q->easy, CURLOPT_WRITEDATA, q);
	l->easy_setopt(q->easy, CURLOPT_HEADERFUNCTION, on_header);
	l->easy_setopt(q->easy, CURLOPT_HEADERDATA, q);
	set_str(q, CURLOPT_UNIX_SOCKET_PATH, r->unix_socket);
	method_set(q, r);
	tls_set(q, r);
	if (r->tls_server_name.n && target_of(r->url).tls && !server_name_set(q, r)) {
		return false;
	}
	headers_set(q, r);
	return true;
}

/* It ends soon, with this. */
static struct fetch *give_up(struct fetch *q, const char *why)
{
	q->hopeless = why;
	list_add_tail(&q->fetcher->hopeless, &q->link);
	loop_timer_in(&q->fetcher->soon, 0);
	return q;
}

struct fetch *fetch_start(
	struct fetcher *f, const struct fetch_request *request, fetch_fn on_done, void *arg)
{
	struct fetch *q = xcalloc(1, sizeof(*q));

	q->fetcher = f;
	q->on_done = on_done;
	q->arg = arg;
	q->follow = request->follow;
	tail_init(&q->received, request->body_max);
	buf_put_str(&q->url, request->url);
	buf_put_str(&q->body, request->body);
	memcpy(q->headers_wanted, request->headers_wanted, sizeof(q->headers_wanted));
	if (!library_load(f)) {
		return give_up(q, "this agent has no libcurl");
	}
	q->easy = f->curl.easy_init();
	must(q->easy);
	if (!options_set(q, request)) {
		return give_up(q, "the TLS server name cannot be one");
	}
	list_add_tail(&f->fetches, &q->link);
	f->curl.multi_add_handle(f->multi, q->easy); /* asks for a timer: nothing ends in here */
	return q;
}

struct fetcher *fetcher_new(struct loop *loop)
{
	struct fetcher *f = xcalloc(1, sizeof(*f));

	f->loop = loop;
	list_init(&f->fetches);
	list_init(&f->hopeless);
	loop_timer_init(&f->timer, loop, on_timer, f);
	loop_timer_init(&f->soon, loop, on_soon, f);
	return f;
}

void fetcher_free(struct fetcher *f)
{
	struct list *lists[] = { &f->fetches, &f->hopeless };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		while (!list_empty(lists[i])) {
			fetch_cancel(list_first(lists[i], struct fetch, link));
		}
	}
	if (f->multi) {
		f->curl.multi_cleanup(f->multi);
	}
	loop_timer_stop(&f->timer);
	loop_timer_stop(&f->soon);
	free(f); /* the library stays loaded: it does not unload cleanly */
}
