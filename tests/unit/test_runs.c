/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running checks for real: programs, sockets, HTTP; what comes back, and that nothing stays behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "checkd/run.h"
#include "checkd/script.h"
#include "common/sys/clock.h"
#include "common/sys/net.h"

struct bench {
	struct loop *loop;
	struct conf conf;
	struct scripts scripts;
	struct runs *runs;
	struct run *done;
	struct loop_timer limit;
	bool late;
};

static void on_limit(void *arg)
{
	((struct bench *)arg)->late = true;
}

static void bench_init(struct bench *b)
{
	*b = (struct bench) { .loop = loop_new() };
	b->conf.check_output_max_size = 4096;
	ck_assert_int_eq(scripts_open(SCRIPT_PROGRAM, &b->scripts), 0);
	b->runs = runs_new(b->loop, &b->conf, &b->scripts);
	loop_timer_init(&b->limit, b->loop, on_limit, b);
	loop_timer_in(&b->limit, 20000);
}

static void bench_fini(struct bench *b)
{
	loop_timer_stop(&b->limit);
	runs_free(b->runs);
	scripts_close(&b->scripts);
	loop_free(b->loop);
	ck_assert_int_gt(waitpid(-1, NULL, 0), 0); /* the server ends with its channel */
}

static void start(struct bench *b, const struct check_def *def, uint64_t number)
{
	struct registry_run run = { .number = number, .kind = check_kind_of(def), .def = def };

	runs_start(b->runs, &run);
}

static struct run *wait_done(struct bench *b)
{
	struct run *run;

	while (!(run = runs_take_done(b->runs)) && !b->late) {
		loop_run_once(b->loop);
	}
	ck_assert_ptr_nonnull(run);
	return run;
}

static void is_result(
	struct bench *b, const struct check_def *def, enum check_status status, const char *output)
{
	struct run *run;

	start(b, def, 7);
	run = wait_done(b);
	ck_assert_uint_eq(run->number, 7);
	if (output) {
		ck_buf_is(&run->output, output);
	}
	ck_assert_int_eq(run->status, status);
	run_free(run);
}

static struct check_def script(struct str args[3], const char *text)
{
	args[0] = STR("sh");
	args[1] = STR("-c");
	args[2] = str_of(text);
	return (struct check_def) { .args = { args, 3, true }, .timeout_ns = 10 * NS_PER_S };
}

TEST(test_script)
{
	static const struct {
		const char *text;
		int64_t timeout_ms, output_max;
		enum check_status status;
		const char *output;
	} rows[] = {
		{ "echo out; echo err >&2", 10000, 0, CHECK_PASSING, "out\nerr\n" },
		{ "exit 1", 10000, 0, CHECK_WARNING, "" },
		{ "exit 2", 10000, 0, CHECK_CRITICAL, "" },
		{ "kill -9 $$", 10000, 0, CHECK_CRITICAL, "" },
		{ "printf abcdefgh", 10000, 3, CHECK_PASSING, "Captured 3 of 8 bytes\n...\nfgh" },
		{ "printf abc", 10000, 3, CHECK_PASSING, "abc" },
		{ "echo x; sleep 60 & sleep 60", 3000, 0, CHECK_CRITICAL,
			"Timed out (3s) running check\n\nx\n" },
		{ "sleep 60", 200, 0, CHECK_CRITICAL, "Timed out (200ms) running check" },
		{ "sleep 60 & exit 0", 200, 0, CHECK_CRITICAL, "Timed out (200ms) running check" },
		{ "cat; ls /proc/self/fd | tr '\\n' ' '", 10000, 0, CHECK_PASSING,
			"0 1 2 3 " }, /* 3 is the folder */
		{ "echo $NOTIFY_SOCKET$MUSTER_PARENT", 10000, 0, CHECK_PASSING, "\n" },
		/* the limits are there soon after its start */
		{ "until [ $(ulimit -Ht) = 3600 ]; do :; done; ulimit -Hc", 10000, 0, CHECK_PASSING,
			"0\n" },
	};
	struct bench b;
	int fds[2];

	ck_assert_int_eq(
		pipe(fds), 0); /* descriptors that a child must not see, close-on-exec or not */
	setenv("NOTIFY_SOCKET", "/nowhere", 1);
	setenv("MUSTER_PARENT", "1", 1);
	bench_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct str args[3];
		struct check_def def = script(args, rows[i].text);

		def.timeout_ns = rows[i].timeout_ms * NS_PER_MS;
		def.output_max_size = rows[i].output_max;
		is_result(&b, &def, rows[i].status, rows[i].output);
	}
	bench_fini(&b);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* everybody was reaped */
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

TEST(test_shell)
{
	struct str args[] = { STR("echo $0 $((1 + 2))") };
	struct check_def def = { .shell = STR("/bin/sh"), .args = { args, 1, true } };
	struct bench b;

	bench_init(&b);
	is_result(&b, &def, CHECK_PASSING, "/bin/sh 3\n");
	bench_fini(&b);
}
END_TEST

TEST(test_script_cannot_start)
{
	struct str args[] = { STR("no-such-program-here") };
	struct check_def def = { .args = { args, 1, true } };
	struct bench b;

	bench_init(&b);
	is_result(&b, &def, CHECK_CRITICAL,
		"exec: \"no-such-program-here\": executable file not found in $PATH");
	args[0] = STR("/no/such");
	is_result(&b, &def, CHECK_CRITICAL, "fork/exec /no/such: no such file or directory");
	bench_fini(&b);
}
END_TEST

/* Returns when nobody has the writing end of this pipe any more. */
static void wait_gone(const char *path, int *fd)
{
	char byte;

	ck_assert_int_eq(read(*fd, &byte, 1), 0);
	close(*fd);
	unlink(path);
}

/* A program that holds a named pipe, and has a child that holds it too. */
static struct check_def holder(
	struct str args[3], char text[128], const char *end, char path[64], int *fd_out)
{
	snprintf(path, 64, "/tmp/test_runs.%d.fifo", (int)getpid());
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	*fd_out = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(*fd_out, 0);
	snprintf(text, 128, "exec 3>%s; sleep 60 >/dev/null 2>&1 & echo up; %s", path, end);
	return script(args, text);
}

static void wait_output(struct bench *b, int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	/* somebody has opened the other end once reading would block instead of telling the end */
	for (;;) {
		char byte;
		ssize_t n = read(fd, &byte, 1);

		if (n < 0 && errno == EAGAIN) {
			break;
		}
		(void)poll(&p, 1, 10);
		ck_assert(!b->late);
	}
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0); /* from now on reading waits for the end */
}

/* A check that is taken away: its whole group dies. */
TEST(test_script_stop)
{
	char path[64], text[128];
	struct str args[3];
	struct check_def def;
	struct bench b;
	int fd;

	bench_init(&b);
	def = holder(args, text, "sleep 60", path, &fd);
	start(&b, &def, 1);
	wait_output(&b, fd);
	ck_assert(!runs_stop(b.runs, 2));
	ck_assert(runs_stop(b.runs, 1));
	wait_gone(path, &fd);
	def = holder(args, text, "sleep 60", path, &fd);
	start(&b, &def, 3);
	wait_output(&b, fd);
	bench_fini(&b); /* and with the runs themselves */
	wait_gone(path, &fd);
}
END_TEST

/* What a script leaves behind ends with it. */
TEST(test_script_leaves_nothing)
{
	char path[64], text[128];
	struct str args[3];
	struct check_def def;
	struct bench b;
	int fd;

	bench_init(&b);
	def = holder(args, text, "exit 1", path, &fd);
	is_result(&b, &def, CHECK_WARNING, "up\n");
	ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
	wait_gone(path, &fd);
	bench_fini(&b);
}
END_TEST

TEST(test_script_server_gone)
{
	struct str args[3];
	struct check_def def = script(args, "exit 0");
	struct bench b;

	bench_init(&b);
	ck_assert_int_eq(shutdown(b.scripts.server, SHUT_RDWR), 0);
	is_result(&b, &def, CHECK_CRITICAL, "fork/exec sh: broken pipe");
	bench_fini(&b);
}
END_TEST

/* Those that do not find a place wait for one, may be stopped meanwhile, and run when one ended. */
TEST(test_scripts_at_once)
{
	struct str args[3], quick_args[3];
	struct check_def hangs = script(args, "sleep 60"), quick = script(quick_args, "echo ran");
	struct bench b;
	struct run *run;

	bench_init(&b);
	for (uint64_t i = 1; i <= SCRIPTS_MAX; i++) {
		start(&b, &hangs, i);
	}
	start(&b, &quick, 1001);
	start(&b, &quick, 1002);
	start(&b, &quick, 1003);
	for (int turn = 0; turn < 20; turn++) {
		ck_assert_ptr_null(runs_take_done(b.runs));
		loop_timer_in(&b.limit, 10);
		loop_run_once(b.loop);
	}
	b.late = false;
	loop_timer_in(&b.limit, 20000);
	ck_assert(runs_stop(b.runs, 1001)); /* never began */
	ck_assert(runs_stop(b.runs, 1));
	for (uint64_t number = 1002; number <= 1003; number++) {
		run = wait_done(&b);
		ck_assert_uint_eq(run->number, number);
		ck_buf_is(&run->output, "ran\n");
		run_free(run);
	}
	bench_fini(&b);
}
END_TEST

static int listen_at(int type, char text[64])
{
	OWN_EMBEDDED(buf_fini) struct buf b = { 0 };
	struct net_address a;
	int fd;

	ck_assert_int_eq(net_address_parse(STR("127.0.0.1:0"), -1, &a), 0);
	fd = net_listen(&a, type, 8);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a.sa, &a.size), 0);
	net_address_render(&a, &b);
	snprintf(text, 64, "%s", buf_cstr(&b));
	return fd;
}

TEST(test_tcp_and_udp)
{
	char tcp[64], udp[64], text[128];
	int tcp_fd = listen_at(SOCK_STREAM, tcp), udp_fd = listen_at(SOCK_DGRAM, udp);
	struct check_def def = { .tcp = str_of(tcp) };
	struct bench b;

	bench_init(&b);
	snprintf(text, sizeof(text), "TCP connect %s: Success", tcp);
	is_result(&b, &def, CHECK_PASSING, text);
	close(tcp_fd);
	snprintf(text, sizeof(text), "dial tcp %s: connect: connection refused", tcp);
	is_result(&b, &def, CHECK_CRITICAL, text);
	def = (struct check_def) { .tcp = STR("nowhere") };
	is_result(&b, &def, CHECK_CRITICAL, "dial tcp: address nowhere: missing port in address");
	def = (struct check_def) { .udp = str_of(udp), .timeout_ns = 100 * NS_PER_MS };
	snprintf(text, sizeof(text), "UDP connect %s: Success", udp);
	is_result(&b, &def, CHECK_PASSING, text);
	close(udp_fd);
	is_result(&b, &def, CHECK_CRITICAL, NULL);
	bench_fini(&b);
}
END_TEST

/* ---- HTTP, against a server of a few lines in the same loop ---- */

struct server {
	struct loop *loop;
	int fd, client;
	struct loop_io io, client_io;
	const char *answer;
	char address[64]; /* as clients name it */
	int64_t think_ms; /* before it answers */
	struct loop_timer thinks;
	char request[2048];
};

static void on_thought(void *arg)
{
	struct server *s = arg;

	ck_assert_int_gt(send(s->client, s->answer, strlen(s->answer), MSG_NOSIGNAL), 0);
	close(s->client);
}

static void on_request(void *arg, int events)
{
	struct server *s = arg;
	ssize_t n = recv(s->client, s->request, sizeof(s->request) - 1, 0);

	s->request[max_of(n, 0)] = 0;
	loop_io_set(&s->client_io, 0);
	if (s->think_ms) {
		loop_timer_init(&s->thinks, s->loop, on_thought, s);
		loop_timer_in(&s->thinks, s->think_ms);
	} else {
		on_thought(s);
	}
}

static void on_accept(void *arg, int events)
{
	struct server *s = arg;

	s->client = accept(s->fd, NULL, NULL);
	ck_assert_int_ge(s->client, 0);
	loop_io_init(&s->client_io, s->loop, s->client, on_request, s);
	loop_io_set(&s->client_io, LOOP_READ);
}

static void server_begin(struct server *s, struct loop *loop, char url[128])
{
	s->loop = loop;
	s->fd = listen_at(SOCK_STREAM, s->address);
	loop_io_init(&s->io, loop, s->fd, on_accept, s);
	loop_io_set(&s->io, LOOP_READ);
	snprintf(url, 128, "http://%s/x", s->address);
}

TEST(test_http)
{
	static const struct {
		const char *answer;
		enum check_status status;
		const char *line_and_output;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\n\r\nfine", CHECK_PASSING, "200 OK Output: fine" },
		{ "HTTP/1.1 204 No Content\r\n\r\n", CHECK_PASSING, "204 No Content Output: " },
		{ "HTTP/1.1 429 Too Many Requests\r\n\r\n", CHECK_WARNING,
			"429 Too Many Requests Output: " },
		{ "HTTP/1.1 503 Service Unavailable\r\n\r\n0123456789abc", CHECK_CRITICAL,
			"503 Service Unavailable Output: 3456789abc" },
	};
	struct server s = { 0 };
	char url[128], text[256];
	struct check_def def = { .method = STR("PUT"),
		.body = STR("b"),
		.header_json = STR("{\"X-A\":[\"1\"],\"Host\":[\"h\"]}"),
		.output_max_size = 10,
		.disable_redirects = true };
	struct bench b;

	bench_init(&b);
	server_begin(&s, b.loop, url);
	def.http = str_of(url);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		s.answer = rows[i].answer;
		snprintf(text, sizeof(text), "HTTP PUT %s: %s", url, rows[i].line_and_output);
		is_result(&b, &def, rows[i].status, text);
	}
	ck_assert_ptr_nonnull(strstr(s.request, "PUT /x HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(s.request, "Host: h\r\n"));
	ck_assert_ptr_nonnull(strstr(s.request, "X-A: 1\r\n"));
	ck_assert_ptr_nonnull(strstr(s.request, "User-Agent: Consul Health Check\r\n"));
	ck_assert_ptr_nonnull(strstr(s.request, "\r\n\r\nb"));
	/* A redirect is followed by the library: in a circle until it has had enough. */
	def.disable_redirects = false;
	s.answer = "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: "
		   "close\r\n\r\n";
	snprintf(text, sizeof(text), "Put \"%s\": stopped after 10 redirects", url);
	is_result(&b, &def, CHECK_CRITICAL, text);
	loop_io_set(&s.io, 0);
	start(&b, &def, 1);
	ck_assert(runs_stop(b.runs, 1));
	close(s.fd);
	def.method = STR_NONE;
	snprintf(text, sizeof(text), "Get \"%s\": dial tcp %s: connect: connection refused", url,
		s.address);
	is_result(&b, &def, CHECK_CRITICAL, text);
	bench_fini(&b);
}
END_TEST

/* By our own means and, behind a redirect, by the library's: what Go says of a body. */
TEST(test_http_body)
{
	static const struct {
		const char *method, *body, *wanted;
	} rows[] = {
		{ "POST", "", "Content-Length: 0\r\n" },
		{ "PUT", "", "Content-Length: 0\r\n" },
		{ "GET", "", "GET /x HTTP/1.1\r\n" },
		{ "POST", "b", "Content-Length: 1\r\n" },
	};
	struct server s = { 0 };
	char url[128];
	struct bench b;

	bench_init(&b);
	server_begin(&s, b.loop, url);
	s.answer = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /x\r\nContent-Length: "
		   "0\r\nConnection: close\r\n\r\n";
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct check_def def = { .http = str_of(url),
			.method = str_of(rows[i / 2].method),
			.body = str_of(rows[i / 2].body),
			.disable_redirects = i % 2 };

		is_result(&b, &def, CHECK_CRITICAL, NULL);
		ck_assert_ptr_nonnull(strstr(s.request, rows[i / 2].wanted));
		ck_assert_ptr_null(strstr(s.request, "Content-Type"));
		ck_assert(str_starts(str_of(s.request), str_of(rows[i / 2].method)));
	}
	loop_io_set(&s.io, 0);
	close(s.fd);
	bench_fini(&b);
}
END_TEST

/* What it leads to has to answer. */
TEST(test_http_redirect_to_nobody)
{
	struct server s = { 0 };
	char mute[64], url[128], redirect[256], text[256];
	struct check_def def = { .timeout_ns = NS_PER_S };
	int mute_fd = listen_at(SOCK_STREAM, mute);
	struct bench b;

	bench_init(&b);
	server_begin(&s, b.loop, url);
	def.http = str_of(url);
	snprintf(redirect, sizeof(redirect),
		"HTTP/1.1 302 Found\r\nLocation: http://%s/\r\nContent-Length: "
		"0\r\nConnection: close\r\n\r\n",
		mute);
	s.answer = redirect;
	snprintf(text, sizeof(text),
		"Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting "
		"headers)",
		url);
	is_result(&b, &def, CHECK_CRITICAL, text);
	loop_io_set(&s.io, 0);
	close(s.fd);
	close(mute_fd);
	bench_fini(&b);
}
END_TEST

/* The time-out is for a request with all that it leads to. */
TEST(test_http_redirect_in_time)
{
	struct server s = { .think_ms = 2000 };
	char url[128], text[256];
	struct check_def def = { .timeout_ns = 3 * NS_PER_S };
	struct mono began;
	struct bench b;

	bench_init(&b);
	server_begin(&s, b.loop, url);
	def.http = str_of(url);
	s.answer = "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\nConnection: "
		   "close\r\n\r\n";
	snprintf(text, sizeof(text),
		"Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting "
		"headers)",
		url);
	began = clock_mono();
	is_result(&b, &def, CHECK_CRITICAL, text);
	ck_assert_int_lt(mono_diff_ms(clock_mono(), began), 4900);
	loop_timer_stop(&s.thinks);
	loop_io_set(&s.io, 0);
	close(s.fd);
	bench_fini(&b);
}
END_TEST

UNIT_MAIN("runs", test_script, test_shell, test_script_cannot_start, test_script_stop,
	test_script_leaves_nothing, test_script_server_gone, test_scripts_at_once, test_tcp_and_udp,
	test_http, test_http_body, test_http_redirect_to_nobody, test_http_redirect_in_time)
