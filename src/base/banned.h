/*
 * banned: functions that have no safe use here. Included by the build in front of
 * every file of ours, so that using one is a compile error that names it.
 */
#ifndef TILTH_BASE_BANNED_H
#define TILTH_BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A macro in glibc; poisoning it as one would be a warning of its own. */
#undef alloca
#pragma GCC poison strcpy strcat sprintf vsprintf strtok gmtime localtime asctime ctime atoi atol
#pragma GCC poison atof gets alloca

#endif
