/* SPDX-License-Identifier: Apache-2.0 */
/* Reads come from catalogd's state, mapped read-only; the rest is carried to its owner. */
#include "common/client/definitions.h"
#include "httpd/engine.h"

static int open_hook(struct daemon *d)
{
	struct httpd *h = xcalloc(1, sizeof(*h));

	d->self = h;
	h->daemon = d;
	h->loop = d->loop;
	h->conf = d->conf;
	return httpd_open(h);
}

static int start_hook(struct daemon *d)
{
	return engine_start(d->self);
}

static void reload_hook(struct daemon *d)
{
	((struct httpd *)d->self)->conf = d->conf;
	engine_reload(d->self);
}

static void drain_hook(struct daemon *d)
{
	engine_drain(d->self);
}

static void stop_hook(struct daemon *d)
{
	httpd_free(d->self);
}

int main(int argc, char **argv)
{
	struct daemon_spec spec = {
		.name = "httpd",
		.needs = SANDBOX_NETWORK,
		.reads_tls = true,
		.paths = httpd_paths,
		.paths_count = HTTPD_PATHS,
		.open = open_hook,
		.start = start_hook,
		.accept = engine_accept, /* first of all daemons: see handle_agent_reload */
		.reload = reload_hook,
		.drain = drain_hook,
		.stop = stop_hook,
		.status = httpd_status,
		.dump = httpd_dump,
		.waits_for = httpd_waits_for,
	};

	spec.metrics = engine_metrics(&spec.metrics_count);
	return daemon_main(&spec, argc, argv);
}
