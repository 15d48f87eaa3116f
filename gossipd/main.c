/* SPDX-License-Identifier: Apache-2.0 */
#include "gossipd/gossipd.h"

static const struct daemon_path paths[] = {
	{ DAEMON_DATA, "gossipd", SANDBOX_WRITE },
};

int main(int argc, char **argv)
{
	static const struct daemon_spec spec = {
		.name = "gossipd",
		.needs = SANDBOX_NETWORK,
		.paths = paths,
		.paths_count = ARRAY_SIZE(paths),
		.open = gossipd_open,
		.start = gossipd_start,
		.reload = gossipd_reload,
		.stop = gossipd_stop,
		.status = gossipd_status,
		.dump = gossipd_dump,
		.waits_for = gossipd_waits_for,
		.metrics = gossipd_metrics,
		.metrics_count = METRICS_COUNT,
	};

	return daemon_main(&spec, argc, argv);
}
