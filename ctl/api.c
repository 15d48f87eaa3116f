/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to an agent.
 */
#include "ctl/api.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/err.h"

enum { DATA_MAX = 512 << 20 };

void api_fini(struct api *a)
{
	if (a->curl) {
		curl_easy_cleanup(a->curl);
	}
	if (a->multi) {
		curl_multi_cleanup(a->multi);
	}
	curl_slist_free_all(a->connect_to);
	buf_fini(&a->base);
	buf_fini(&a->url);
	buf_fini(&a->host);
	buf_fini(&a->token_text);
	buf_fini(&a->error);
	arena_fini(&a->arena);
}

void api_answer_fini(struct api_answer *answer)
{
	buf_fini(&answer->body);
}

const char *api_error(struct api *a)
{
	return buf_cstr(&a->error);
}

/* ---- settings ---- */

static void shared_flags_add(struct api *a, struct flagset *f, bool reads)
{
	flag_add(f, "http-addr", FLAG_TEXT, &a->http_addr,
		"Address of the agent: host:port, http://..., https://... or unix:///path. Also "
		"CONSUL_HTTP_ADDR.");
	flag_add(
		f, "token", FLAG_TEXT, &a->token, "Token for the request. Also CONSUL_HTTP_TOKEN.");
	flag_add(f, "token-file", FLAG_TEXT, &a->token_file,
		"File with the token, used when -token is not given. Also CONSUL_HTTP_TOKEN_FILE.");
	flag_add(f, "ca-file", FLAG_TEXT, &a->ca_file,
		"CA certificates for https. Also CONSUL_CACERT.");
	flag_add(f, "ca-path", FLAG_TEXT, &a->ca_path,
		"Folder of CA certificates. Also CONSUL_CAPATH.");
	flag_add(f, "client-cert", FLAG_TEXT, &a->client_cert,
		"Certificate to show. Also CONSUL_CLIENT_CERT.");
	flag_add(f, "client-key", FLAG_TEXT, &a->client_key,
		"Key of that certificate. Also CONSUL_CLIENT_KEY.");
	flag_add(f, "tls-server-name", FLAG_TEXT, &a->tls_server_name,
		"Name that the server's certificate must have. Also CONSUL_TLS_SERVER_NAME.");
	flag_add(f, "namespace", FLAG_TEXT, &a->namespace, "Accepted; there are no namespaces.");
	if (reads) {
		flag_add(f, "datacenter", FLAG_TEXT, &a->datacenter,
			"Data centre to ask; the agent's own by default.");
		flag_add(f, "stale", FLAG_BOOL, &a->stale,
			"Any server may answer, even one that is behind.");
	}
}

static const char *or_environment(const char *flag, const char *name)
{
	const char *value = flag ? flag : getenv(name);

	return value && value[0] ? value : NULL;
}

static bool environment_is(const char *name, bool wanted)
{
	const char *text = getenv(name);
	bool value;

	return text && str_to_bool(str_of(text), &value) == 0 && value == wanted;
}

static int token_prepare(struct api *a)
{
	const char *file = or_environment(a->token_file, "CONSUL_HTTP_TOKEN_FILE");
	const char *token = a->token && a->token[0] ? a->token : NULL;
	struct buf text = { 0 };

	if (!token && !file) {
		token = or_environment(NULL, "CONSUL_HTTP_TOKEN");
	}
	if (!token && file) {
		OWN_EMBEDDED(buf_fini) struct buf path = { 0 };
		struct str rest;

		buf_printf(&path, "@%s", file);
		buf_put_lit(&a->error, "Error loading token file: ");
		if (data_read(buf_cstr(&path), &text, &a->error)) {
			buf_fini(&text);
			return ST_NOT_FOUND;
		}
		buf_clear(&a->error);
		buf_put_str(&a->token_text, str_trim(str_split(buf_str(&text), '\n', &rest)));
		buf_fini(&text);
	} else if (token) {
		buf_put_cstr(&a->token_text, token);
	}
	return 0;
}

static void tls_prepare(struct api *a)
{
	const struct {
		CURLoption option;
		const char *value;
	} rows[] = {
		{ CURLOPT_CAINFO, or_environment(a->ca_file, "CONSUL_CACERT") },
		{ CURLOPT_CAPATH, or_environment(a->ca_path, "CONSUL_CAPATH") },
		{ CURLOPT_SSLCERT, or_environment(a->client_cert, "CONSUL_CLIENT_CERT") },
		{ CURLOPT_SSLKEY, or_environment(a->client_key, "CONSUL_CLIENT_KEY") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].value) {
			curl_easy_setopt(a->curl, rows[i].option, rows[i].value);
		}
	}
	if (environment_is("CONSUL_HTTP_SSL_VERIFY", false)) {
		curl_easy_setopt(a->curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(a->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
}

/* curl takes the name for TLS from the URL. So where the certificate shall have another one,
 * requests go to a URL with that, which CONNECT_TO sends where it belongs, with the Host header of
 * the real one. */
static void server_name_prepare(struct api *a)
{
	const char *name = or_environment(a->tls_server_name, "CONSUL_TLS_SERVER_NAME");
	struct str rest,
		place = str_split(str_skip(buf_str(&a->base), strlen("https://")), '/', &rest);
	bool has_port = str_rfind(place, ':') > str_rfind(place, ']');
	struct str port = has_port ? str_skip(place, (size_t)str_rfind(place, ':')) : STR(":443");
	OWN_EMBEDDED(buf_fini) struct buf route = { 0 };

	if (!name || !str_starts(buf_str(&a->base), STR("https://"))) {
		buf_put_str(&a->url, buf_str(&a->base));
		return;
	}
	buf_printf(&a->url, strchr(name, ':') ? "https://[%s]" : "https://%s", name);
	buf_put_str(&a->url, port);
	if (rest.p) {
		buf_printf(&a->url, "/" STR_FMT, STR_ARG(rest));
	}
	buf_printf(&a->host, "Host: " STR_FMT, STR_ARG(place));
	buf_printf(&route, "::" STR_FMT "%s", STR_ARG(place), has_port ? "" : ":443");
	a->connect_to = curl_slist_append(NULL, buf_cstr(&route));
	curl_easy_setopt(a->curl, CURLOPT_CONNECT_TO, a->connect_to);
}

static int prepare(struct api *a)
{
	const char *address = or_environment(a->http_addr, "CONSUL_HTTP_ADDR");
	const char *auth = or_environment(NULL, "CONSUL_HTTP_AUTH");
	bool tls = environment_is("CONSUL_HTTP_SSL", true);

	address = address ? address : "127.0.0.1:8500";
	a->curl = curl_easy_init();
	must(a->curl);
	curl_easy_setopt(a->curl, CURLOPT_NOPROXY, "*");
	if (str_starts(str_of(address), STR("unix://"))) {
		a->unix_path = address + strlen("unix://");
		curl_easy_setopt(a->curl, CURLOPT_UNIX_SOCKET_PATH, a->unix_path);
		buf_printf(&a->base, "http://localhost");
	} else if (strstr(address, "://")) {
		buf_put_str(&a->base, str_of(address));
	} else {
		buf_printf(&a->base, "%s://%s", tls ? "https" : "http", address);
	}
	while (a->base.n && a->base.p[a->base.n - 1] == '/') {
		a->base.n--;
	}
	if (auth) {
		curl_easy_setopt(a->curl, CURLOPT_USERPWD, auth);
	}
	tls_prepare(a);
	server_name_prepare(a);
	return token_prepare(a);
}

int api_begin(struct ctl *c, struct api *a, struct flagset *f, bool reads, const char *usage,
	const char *about, int argc, char **argv)
{
	int at;

	flags_end_own(f);
	shared_flags_add(a, f, reads);
	at = ctl_begin(c, f, usage, about, argc, argv);
	if (at >= 0 && prepare(a)) {
		ctl_fail("Error connecting to Consul agent: %s", api_error(a));
		return -1 - 1;
	}
	return at;
}

/* ---- paths ---- */

void path_put(struct buf *path, const char *part)
{
	url_escape(path, str_of(part), true);
}

static void name_put(struct buf *path, const char *name)
{
	buf_put_char(path, str_find(buf_str(path), '?') < 0 ? '?' : '&');
	buf_put_cstr(path, name);
}

void path_query(struct buf *path, const char *name, const char *value)
{
	if (value && value[0]) {
		name_put(path, name);
		buf_put_char(path, '=');
		url_escape(path, str_of(value), false);
	}
}

void path_query_n(struct buf *path, const char *name, uint64_t value)
{
	name_put(path, name);
	buf_printf(path, "=%llu", (unsigned long long)value);
}

void path_mark(struct buf *path, const char *name)
{
	name_put(path, name);
	buf_put_char(path, '=');
}

/* ---- calls ---- */

struct transfer {
	struct api_answer *answer;
	bool (*on_data)(void *arg, struct str data); /* NULL: collect */
	void *arg;
	CURL *curl;
};

static size_t on_body(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	size_t n = size * count;
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (t->on_data && status == 200) {
		return t->on_data(t->arg, str_n(p, n)) ? n : 0;
	}
	if (t->answer->body.n + n > DATA_MAX) {
		return 0;
	}
	buf_put(&t->answer->body, p, n);
	return n;
}

static size_t on_header(char *p, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	struct str value, name = str_split(str_n(p, size * count), ':', &value);

	if (str_ieq(name, STR("X-Consul-Index")) &&
		str_to_u64(str_trim(value), &t->answer->index)) {
		t->answer->index = 0;
	}
	return size * count;
}

static void dial_failure_put(const struct api *a, int error, struct buf *out)
{
	const char *words = strerror(error);
	struct str host = buf_str(&a->base);

	if (a->unix_path) {
		buf_printf(out, "dial unix %s", a->unix_path);
	} else {
		host = str_skip(host, (size_t)str_find_str(host, STR("://")) + 3);
		buf_printf(out, "dial tcp " STR_FMT, STR_ARG(host));
	}
	buf_printf(out, ": connect: %c%s", tolower((unsigned char)words[0]), words + 1);
}

/* curl's outcome in the words of Go's client. */
static void failure_text(struct api *a, CURLcode code, const char *method, const char *url)
{
	char verb[16];
	long error = 0;

	snprintf(verb, sizeof(verb), "%c%s", method[0], method + 1);
	for (char *p = verb + 1; *p; p++) {
		*p = (char)(*p | 0x20);
	}
	curl_easy_getinfo(a->curl, CURLINFO_OS_ERRNO, &error);
	buf_clear(&a->error);
	buf_printf(&a->error, "%s \"%s\": ", verb, url);
	if (code == CURLE_COULDNT_CONNECT && error) {
		dial_failure_put(a, (int)error, &a->error);
	} else {
		buf_put_cstr(&a->error, curl_easy_strerror(code));
	}
}

static void body_set(struct api *a, const char *method, struct str body, FILE *upload)
{
	curl_easy_setopt(a->curl, CURLOPT_CUSTOMREQUEST, method);
	if (upload) {
		curl_easy_setopt(a->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(a->curl, CURLOPT_READDATA, upload);
	} else if (body.n || (strcmp(method, "GET") && strcmp(method, "DELETE"))) {
		curl_easy_setopt(a->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
		curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, body.n ? body.p : "");
		curl_easy_setopt(a->curl, CURLOPT_CUSTOMREQUEST, method);
	} else {
		curl_easy_setopt(a->curl, CURLOPT_HTTPGET, 1L);
		curl_easy_setopt(a->curl, CURLOPT_CUSTOMREQUEST, method);
	}
}

static struct curl_slist *headers_make(struct api *a)
{
	OWN_EMBEDDED(buf_fini) struct buf token = { 0 };
	struct curl_slist *headers = curl_slist_append(NULL, "Expect:");

	headers = curl_slist_append(headers, "Content-Type:");
	if (a->host.n) {
		headers = curl_slist_append(headers, buf_cstr(&a->host));
	}
	if (a->token_text.n) {
		buf_printf(&token, "X-Consul-Token: " STR_FMT, STR_ARG(buf_str(&a->token_text)));
		headers = curl_slist_append(headers, buf_cstr(&token));
	}
	return headers;
}

/* The easy handle's transfer, in company of a descriptor. ST_AGAIN when that came first. */
static int perform_until(struct api *a, CURLcode *code_out)
{
	struct curl_waitfd wake = { a->wake_fd, CURL_WAIT_POLLIN, 0 };
	int running = 1, left;
	CURLMsg *m;

	a->multi = a->multi ? a->multi : curl_multi_init();
	must(a->multi && curl_multi_add_handle(a->multi, a->curl) == CURLM_OK);
	while (curl_multi_perform(a->multi, &running) == CURLM_OK && running && !wake.revents) {
		curl_multi_poll(a->multi, &wake, 1, 1000, NULL);
	}
	m = curl_multi_info_read(a->multi, &left);
	*code_out = m ? m->data.result : CURLE_ABORTED_BY_CALLBACK;
	curl_multi_remove_handle(a->multi, a->curl);
	return running && wake.revents ? ST_AGAIN : 0;
}

static int perform(struct api *a, CURLcode *code_out)
{
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
	if (a->wake_fd > 0) {
		return perform_until(a, code_out);
	}
	*code_out = curl_easy_perform(a->curl);
	return 0;
}

static int transfer_run(struct api *a, const char *method, struct buf *path, struct str body,
	FILE *upload, struct transfer *t)
{
	OWN_EMBEDDED(buf_fini) struct buf url = { 0 }, shown = { 0 };
	struct curl_slist *headers = headers_make(a);
	CURLcode code;
	int r;

	path_query(path, "dc", a->datacenter);
	if (a->stale && strcmp(method, "GET") == 0) {
		path_mark(path, "stale");
	}
	buf_printf(&url, STR_FMT STR_FMT, STR_ARG(buf_str(&a->url)), STR_ARG(buf_str(path)));
	t->curl = a->curl;
	curl_easy_setopt(a->curl, CURLOPT_URL, buf_cstr(&url));
	/* Or "kv delete -recurse x/.." would be about all keys. */
	curl_easy_setopt(a->curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(a->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(a->curl, CURLOPT_HEADERDATA, t);
	body_set(a, method, body, upload);
	r = perform(a, &code);
	curl_slist_free_all(headers);
	if (r) {
		return r;
	}
	curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &t->answer->status);
	if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && t->on_data)) {
		buf_printf(&shown, STR_FMT STR_FMT, STR_ARG(buf_str(&a->base)),
			STR_ARG(buf_str(path)));
		failure_text(a, code, method, buf_cstr(&shown));
		return ST_CLOSED;
	}
	return 0;
}

int api_call(struct api *a, const char *method, struct buf *path, struct str body,
	struct api_answer *out)
{
	struct transfer t = { .answer = out };

	buf_clear(&out->body);
	out->index = 0;
	return transfer_run(a, method, path, body, NULL, &t);
}

static int status_check(struct api *a, const struct api_answer *answer)
{
	if (answer->status == 200) {
		return 0;
	}
	buf_clear(&a->error);
	buf_printf(&a->error, "Unexpected response code: %ld (" STR_FMT ")", answer->status,
		STR_ARG(buf_str(&answer->body)));
	return ST_INVALID;
}

int api_ask(struct api *a, const char *method, struct buf *path, struct str body,
	struct api_answer *out)
{
	int r = api_call(a, method, path, body, out);

	return r ? r : status_check(a, out);
}

int api_stream(struct api *a, const char *method, struct buf *path, FILE *upload,
	bool (*on_data)(void *arg, struct str data), void *arg, struct api_answer *out)
{
	struct transfer t = { .answer = out, .on_data = on_data, .arg = arg };
	int r = transfer_run(a, method, path, STR_NONE, upload, &t);

	return r ? r : status_check(a, out);
}

int api_get(struct api *a, struct buf *path, const struct json **out)
{
	OWN_EMBEDDED(api_answer_fini) struct api_answer answer = { 0 };
	int r = api_ask(a, "GET", path, STR_NONE, &answer);
	struct json *tree;

	if (r) {
		return r;
	}
	buf_clear(&a->error);
	r = json_parse(&a->arena, buf_str(&answer.body), &tree, &a->error);
	if (r) {
		return r;
	}
	*out = tree;
	return 0;
}

/* ---- answers and arguments ---- */

const char *field_text(const struct json *object, const char *name)
{
	const struct json *v = json_find(object, name);

	return v && (v->type == JSON_STRING || v->type == JSON_NUMBER) ? v->text.p : "";
}

uint64_t field_u64(const struct json *object, const char *name)
{
	const struct json *v = json_find(object, name);
	uint64_t n = 0;

	return v && v->type == JSON_NUMBER && str_to_u64(v->text, &n) == 0 ? n : 0;
}

bool field_bool(const struct json *object, const char *name)
{
	const struct json *v = json_find(object, name);

	return v && v->boolean;
}

int data_read(const char *word, struct buf *out, struct buf *why)
{
	bool file = word[0] == '@';
	OWN_FD int fd = -1;
	ssize_t n;

	if (!file && strcmp(word, "-")) {
		buf_put_cstr(out, word);
		return 0;
	}
	fd = file ? open(word + 1, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (fd < 0) {
		buf_printf(why, "open %s: %s", word + 1,
			errno == ENOENT ? "no such file or directory" : strerror(errno));
		return ST_NOT_FOUND;
	}
	do {
		n = read(fd, buf_reserve(out, 65536), 65536);
		out->n += n > 0 ? (size_t)n : 0;
	} while (n > 0 && out->n < DATA_MAX);
	if (n < 0) {
		buf_printf(why, "read %s: %s", word + 1, strerror(errno));
		return ST_NOT_FOUND;
	}
	return 0;
}
