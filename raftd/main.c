/* SPDX-License-Identifier: Apache-2.0 */
#include "raftd/raftd.h"

static const struct daemon_path paths[] = {
	{ DAEMON_DATA, "raft", SANDBOX_WRITE },
};

int main(int argc, char **argv)
{
	static const struct daemon_spec spec = {
		.name = "raftd",
		.server_only = true,
		.needs = SANDBOX_NETWORK,
		.paths = paths,
		.paths_count = ARRAY_SIZE(paths),
		.open = raftd_open,
		.start = raftd_start,
		.drain = raftd_drain,
		.stop = raftd_stop,
		.status = raftd_status,
		.dump = raftd_dump,
		.waits_for = raftd_waits_for,
		.metrics = raftd_metrics,
		.metrics_count = METRICS_COUNT,
	};

	return daemon_main(&spec, argc, argv);
}
