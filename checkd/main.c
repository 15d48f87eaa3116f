/* SPDX-License-Identifier: Apache-2.0 */
#include "checkd/checkd.h"

static const struct daemon_path paths[] = {
	{ DAEMON_DATA, "checkd", SANDBOX_WRITE },
};

int main(int argc, char **argv)
{
	const struct daemon_spec spec = {
		.name = "checkd",
		.needs = SANDBOX_NETWORK,
		.reads_tls = true,
		.paths = paths,
		.paths_count = ARRAY_SIZE(paths),
		.prepare = checkd_prepare,
		.open = checkd_open,
		.start = checkd_start,
		.reload = checkd_reload,
		.drain = checkd_drain,
		.stop = checkd_stop,
		.status = checkd_status,
		.dump = checkd_dump,
		.waits_for = checkd_waits_for,
		.metrics = checkd_metrics,
		.metrics_count = checkd_metrics_count,
	};

	return daemon_main(&spec, argc, argv);
}
