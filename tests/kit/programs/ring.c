// SPDX-License-Identifier: Apache-2.0
/*
 * ring: an MPI job. Small and large messages go around, sums are made of all ranks; rank 0 writes the number of
 * rounds into FILE, whoever finds a wrong value into FILE.wrong.
 * Usage: mpirun ring FILE
 */
#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LARGE (1 << 17) /* longs: far above what is sent eagerly */

static void wrong(const char *file, const char *what, int rank, long round)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.wrong", file);
	f = fopen(name, "a");
	fprintf(f, "rank %d, round %ld: %s\n", rank, round, what);
	fclose(f);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void count(const char *file, long round)
{
	char name[4096];
	FILE *f;

	snprintf(name, sizeof(name), "%s.new", file);
	f = fopen(name, "w");
	fprintf(f, "%ld\n", round);
	fclose(f);
	rename(name, file);
}

int main(int argc, char **argv)
{
	long *out = malloc(LARGE * sizeof(long)), *in = malloc(LARGE * sizeof(long)), sum;
	int rank, n;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &n);
	for (long round = 1;; round++) {
		int len = round % 4 ? 1 + round % 100 : LARGE;

		for (int i = 0; i < len; i++)
			out[i] = round * 1000003 + i * 7L + rank;
		MPI_Sendrecv(out, len, MPI_LONG, (rank + 1) % n, 1, in, len, MPI_LONG, (rank + n - 1) % n, 1,
			     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		for (int i = 0; i < len; i++)
			if (in[i] != round * 1000003 + i * 7L + (rank + n - 1) % n)
				wrong(argv[1], "a message", rank, round);
		MPI_Allreduce(&round, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
		if (sum != round * n)
			wrong(argv[1], "a sum", rank, round);
		if (rank == 0)
			count(argv[1], round);
		usleep(1000);
	}
}
