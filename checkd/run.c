/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of checks as rows, and the runs under way.
 */
#include "checkd/run.h"
#include "checkd/script.h"
#include "common/sys/fetch.h"

struct kind_row {
	void (*start)(struct run *run);
	int64_t timeout_ms;  /* unless the definition says one */
	const char *refusal; /* without a start function: what a registration is told */
	size_t at_once_max;  /* more wait for their turn; 0: no limit */
};

static const struct kind_row kinds[] = {
	[CHECK_KIND_HTTP] = { http_start, 10000, NULL },
	[CHECK_KIND_GRPC] = { grpc_start, 10000, NULL },
	[CHECK_KIND_SCRIPT] = { script_start, 30000, NULL, SCRIPTS_MAX },
	[CHECK_KIND_TCP] = { tcp_start, 10000, NULL },
	[CHECK_KIND_UDP] = { udp_start, 10000, NULL },
	[CHECK_KIND_H2PING] = { NULL, 0, "H2PING checks are not supported by this agent" },
	[CHECK_KIND_DOCKER] = { NULL, 0, "Docker checks are not supported by this agent" },
	[CHECK_KIND_OS_SERVICE] = { NULL, 0, "OSService checks are not supported by this agent" },
};

struct runs {
	struct loop *loop;
	const struct conf *conf;
	struct scripts *scripts;
	struct list waiting, running, done;
	size_t running_count[ARRAY_SIZE(kinds)];
	struct fetcher *fetcher;
};

struct runs *runs_new(struct loop *loop, const struct conf *conf, struct scripts *scripts)
{
	struct runs *r = xcalloc(1, sizeof(*r));

	r->loop = loop;
	r->conf = conf;
	r->scripts = scripts;
	list_init(&r->waiting);
	list_init(&r->running);
	list_init(&r->done);
	return r;
}

/* It runs no longer, however that came. */
static void running_end(struct run *run)
{
	if (run->running) {
		run->running = false;
		run->runs->running_count[run->kind]--;
	}
}

void run_free(struct run *run)
{
	running_end(run);
	if (run->stop) {
		run->stop(run);
	}
	list_del(&run->link);
	buf_fini(&run->output);
	free(run);
}

void runs_stop_all(struct runs *r)
{
	struct list *lists[] = { &r->waiting, &r->running, &r->done };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		while (!list_empty(lists[i])) {
			run_free(list_first(lists[i], struct run, link));
		}
	}
}

void runs_free(struct runs *r)
{
	runs_stop_all(r);
	if (r->fetcher) {
		fetcher_free(r->fetcher);
	}
	free(r);
}

const char *run_refusal(const struct check_def *def)
{
	enum check_kind kind = check_kind_of(def);

	return kind < ARRAY_SIZE(kinds) ? kinds[kind].refusal : NULL;
}

static bool is_turn_of(const struct run *run)
{
	size_t max = kinds[run->kind].at_once_max;

	return !max || run->runs->running_count[run->kind] < max;
}

static void run_begin(struct run *run)
{
	const struct kind_row *row = &kinds[run->kind];

	list_del(&run->link);
	list_add_tail(&run->runs->running, &run->link);
	run->running = true;
	run->runs->running_count[run->kind]++;
	if (row->start) {
		row->start(run);
	} else {
		run_done(run, CHECK_CRITICAL, str_of(row->refusal));
	}
}

static void waiting_begin(struct runs *r)
{
	struct run *run, *following;

	list_for_each_safe (run, following, &r->waiting, link) {
		if (is_turn_of(run)) {
			run_begin(run);
		}
	}
}

void runs_start(struct runs *r, const struct registry_run *started)
{
	struct run *run = xcalloc(1, sizeof(*run));
	const struct kind_row *row;

	must(started->kind < ARRAY_SIZE(kinds));
	row = &kinds[started->kind];
	run->runs = r;
	run->loop = r->loop;
	run->number = started->number;
	run->kind = started->kind;
	run->def = started->def;
	run->output_max = check_output_max(started->def, r->conf->check_output_max_size);
	run->timeout_ms = started->def->timeout_ns > 0
				  ? max_of(started->def->timeout_ns / NS_PER_MS, 1)
				  : row->timeout_ms;
	list_add_tail(&r->waiting, &run->link);
	waiting_begin(r);
}

bool runs_stop(struct runs *r, uint64_t number)
{
	struct list *lists[] = { &r->waiting, &r->running, &r->done };
	struct run *run;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		list_for_each (run, lists[i], link) {
			if (run->number == number) {
				run_free(run);
				return true;
			}
		}
	}
	return false;
}

void runs_reconfigure(struct runs *r, const struct conf *conf)
{
	r->conf = conf;
}

const struct conf *run_conf(const struct run *run)
{
	return run->runs->conf;
}

struct scripts *run_scripts(const struct run *run)
{
	return run->runs->scripts;
}

struct fetcher *run_fetcher(struct run *run)
{
	if (!run->runs->fetcher) {
		run->runs->fetcher = fetcher_new(run->loop);
	}
	return run->runs->fetcher;
}

void run_done(struct run *run, enum check_status status, struct str output)
{
	must(!run->done);
	running_end(run);
	run->done = true;
	run->status = status;
	buf_put_str(&run->output, output);
	list_del(&run->link);
	list_add_tail(&run->runs->done, &run->link);
}

struct run *runs_take_done(struct runs *r)
{
	struct run *run;

	waiting_begin(r);
	run = list_first(&r->done, struct run, link);
	if (run) {
		list_del(&run->link);
	}
	return run;
}
