#include "store/s3_environment.h"

#include <stdlib.h>

/* `given`, else the first variable that is set and not empty, else "". */
static const char *or_variable(const char *given, const char *name, const char *other_name)
{
    const char *const names[] = {name, other_name};

    if (given && given[0])
        return given;
    for (unsigned i = 0; i < 2 && names[i]; i++) {
        const char *value = getenv(names[i]); /* NOLINT(concurrency-mt-unsafe): never written */

        if (value && value[0])
            return value;
    }
    return "";
}

struct s3_options s3_complete(const struct s3_options *given)
{
    struct s3_options s3 = *given;

    s3.endpoint = or_variable(given->endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    s3.region = or_variable(given->region, "AWS_REGION", "AWS_DEFAULT_REGION");
    if (given->anonymous) {
        s3.access_key = s3.secret_key = s3.session_token = "";
    } else if (!given->access_key || !given->access_key[0]) {
        s3.access_key = or_variable("", "AWS_ACCESS_KEY_ID", NULL);
        s3.secret_key = or_variable("", "AWS_SECRET_ACCESS_KEY", NULL);
        s3.session_token = or_variable("", "AWS_SESSION_TOKEN", NULL);
    }
    return s3;
}
