/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of the cluster simulator.
 *
 *     sim_quorum FILE...              the runs in the files, PROFILE:SEED a line; each twice: a run
 *                                     must repeat exactly
 *     sim_quorum --seeds FROM COUNT [PROFILE]
 *                                     fresh runs, profile after profile
 *     sim_quorum --fresh COUNT        the same, from a number that it prints, taken from the clock
 *     sim_quorum --for SECONDS        and on and on
 *     sim_quorum --trace PROFILE:SEED everything that happens in one run
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/quorum/chaos.h"
#include "tests/sim/quorum/world.h"

enum { ENOUGH_RUNS = 500 }; /* so many must have seen everything once */

static const struct run *running;

/* An invariant of the program itself was broken: say where. */
static void on_abort(int signal_number)
{
	char text[160];
	int n = snprintf(text, sizeof(text), "  repeat with: sim_quorum --trace %s:%llu\n",
		running->profile->name, (unsigned long long)running->seed);

	(void)signal_number;
	if (write(STDERR_FILENO, text, (size_t)n) == n) {
		signal(SIGABRT, SIG_DFL);
	}
}

static void run_one(struct run *run)
{
	running = run;
	world_run(run);
}

static uint64_t number(const char *text)
{
	uint64_t v = 0;

	if (str_to_u64(str_of(text), &v)) {
		fprintf(stderr, "sim_quorum: not a number: %s\n", text);
		exit(2);
	}
	return v;
}

static struct run run_of(const char *text)
{
	struct str seed;
	struct str name = str_split(str_of(text), ':', &seed);
	struct run run = { .profile = profile_find(name) };

	if (!run.profile || str_to_u64(str_trim(seed), &run.seed)) {
		fprintf(stderr, "sim_quorum: not PROFILE:SEED: %s\n", text);
		exit(2);
	}
	return run;
}

static void run_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[128];
	unsigned count = 0;

	if (!f) {
		perror(path);
		exit(2);
	}
	while (fgets(line, sizeof(line), f)) {
		struct run run, again;

		if (line[0] == '#' || line[0] == '\n') {
			continue;
		}
		run = again = run_of(line);
		run_one(&run);
		run_one(&again);
		if (run.digest_out != again.digest_out) {
			fprintf(stderr, "sim_quorum: %s: a run does not repeat\n", line);
			exit(1);
		}
		count++;
	}
	fclose(f);
	printf("%u runs\n", count);
}

/* A simulator in which nothing happens finds nothing. */
static void summary(const struct counters *c, uint64_t runs)
{
	static const char *const names[] = { "events", "messages", "lost", "elections", "commits",
		"writes", "reads", "lease_reads", "stale_reads", "restarts", "power_cuts", "wipes",
		"installs", "changes", "transfers", "disk_failures", "breaks", "unknown" };
	const uint64_t *values = (const uint64_t *)c;

	_Static_assert(ARRAY_SIZE(names) == sizeof(*c) / sizeof(uint64_t), "a name for each");
	printf("%llu runs:", (unsigned long long)runs);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		printf(" %s=%llu", names[i], (unsigned long long)values[i]);
	}
	printf("\n");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (values[i] == 0 && runs >= ENOUGH_RUNS) {
			fprintf(stderr, "sim_quorum: no %s in %llu runs\n", names[i],
				(unsigned long long)runs);
			exit(1);
		}
	}
}

static void run_seed(uint64_t seed, const struct profile *only, struct counters *counters)
{
	struct run run = { .profile = only ? only : &profiles[seed % profiles_count],
		.seed = seed,
		.counters_out = *counters };

	run_one(&run);
	*counters = run.counters_out;
}

static void run_seeds(uint64_t from, uint64_t count, const struct profile *only)
{
	struct counters counters = { 0 };

	printf("seeds from %llu, %llu runs\n", (unsigned long long)from, (unsigned long long)count);
	fflush(stdout);
	for (uint64_t i = 0; i < count; i++) {
		run_seed(from + i, only, &counters);
	}
	summary(&counters, only ? 0 : count);
}

static uint64_t from_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	/* a million runs until those of somebody who began a millisecond later */
	return ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) * 1000000;
}

static void run_for(uint64_t seconds)
{
	struct counters counters = { 0 };
	time_t end = time(NULL) + (time_t)seconds;
	uint64_t from = from_clock(), count = 0;

	printf("seeds from %llu, %llu s\n", (unsigned long long)from, (unsigned long long)seconds);
	fflush(stdout);
	while (time(NULL) < end) {
		run_seed(from + count++, NULL, &counters);
	}
	summary(&counters, count);
}

static void run_trace(const char *text)
{
	struct run run = run_of(text);

	run.trace = run.print = true;
	run_one(&run);
}

int main(int argc, char **argv)
{
	signal(SIGABRT, on_abort);
	if (argc == 3 && strcmp(argv[1], "--trace") == 0) {
		run_trace(argv[2]);
	} else if (argc >= 4 && strcmp(argv[1], "--seeds") == 0) {
		const struct profile *only = argc > 4 ? profile_find(str_of(argv[4])) : NULL;

		run_seeds(number(argv[2]), number(argv[3]), only);
	} else if (argc == 3 && strcmp(argv[1], "--fresh") == 0) {
		run_seeds(from_clock(), number(argv[2]), NULL);
	} else if (argc == 3 && strcmp(argv[1], "--for") == 0) {
		run_for(number(argv[2]));
	} else {
		for (int i = 1; i < argc; i++) {
			run_file(argv[i]);
		}
	}
	return 0;
}
