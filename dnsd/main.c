/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dnsd, the daemon that answers DNS.
 */
#include "dnsd/dnsd.h"
#include "dnsd/hooks.h"

static const struct daemon_path paths[] = {
	{ DAEMON_DATA, "catalogd", SANDBOX_MAP },
	{ DAEMON_RUN, "catalogd", SANDBOX_READ }, /* the pages */
	{ DAEMON_RUN, "raftd", SANDBOX_READ },
};

int main(int argc, char **argv)
{
	static const struct daemon_spec spec = {
		.name = "dnsd",
		.needs = SANDBOX_NETWORK,
		.paths = paths,
		.paths_count = ARRAY_SIZE(paths),
		.open = dnsd_open,
		.start = dnsd_start,
		.reload = dnsd_reload,
		.drain = dnsd_drain,
		.stop = dnsd_stop,
		.status = dnsd_status,
		.waits_for = dnsd_waits_for,
		.metrics = dnsd_metrics,
		.metrics_count = METRICS_COUNT,
	};

	return daemon_main(&spec, argc, argv);
}
