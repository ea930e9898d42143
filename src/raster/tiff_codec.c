#include "raster/tiff_codec.h"

#include "base/buf.h"
#include "raster/codec.h"

#include <stdlib.h>
#include <string.h>
