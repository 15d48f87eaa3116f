/* SPDX-License-Identifier: Apache-2.0 */
/*
 * muster-catalogd: keeps the replicated state. See catalogd.h.
 */
#include "catalogd/catalogd.h"

static const struct daemon_path paths[] = {
	{ DAEMON_DATA, "catalogd", SANDBOX_WRITE },
	{ DAEMON_RUN, "raftd", SANDBOX_READ }, /* its page */
	{ DAEMON_RUN, "httpd", SANDBOX_READ }, /* what clients uploaded */
};

static const struct daemon_spec spec = {
	.name = "catalogd",
	.server_only = true,
	.offline = true,
	.paths = paths,
	.paths_count = ARRAY_SIZE(paths),
	.open = catalogd_open,
	.start = catalogd_start,
	.drain = catalogd_drain,
	.stop = catalogd_stop,
	.status = catalogd_status,
	.dump = catalogd_dump,
	.waits_for = catalogd_waits_for,
	.metrics = catalogd_metrics,
	.metrics_count = METRICS_COUNT,
};

int main(int argc, char **argv)
{
	return daemon_main(&spec, argc, argv);
}
