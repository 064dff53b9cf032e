// SPDX-License-Identifier: Apache-2.0
#include "flow/flow.h"

int main(int argc, char **argv)
{
	return 1;
}
