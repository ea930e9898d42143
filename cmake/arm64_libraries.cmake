# A build for arm64 on another machine: the libraries of CMakeLists.txt without their packages.
#
# Everything is compiled, against the headers of this machine, which on Debian are the same but for
# those of the C library; the cross compiler finds its own of those first. Linked and run are the
# tests that need no more libraries than tools/arm64_root.sh fetches: GDAL and all it brings would
# be 240 packages of 700 MB.
foreach(name JANSSON XXHASH PROJ CURL OPENSSL PNG WEBP TURBOJPEG LMDB DEFLATE ZSTD TIFF H2O)
  add_library(PkgConfig::${name} INTERFACE IMPORTED)
endforeach()
add_library(GDAL::GDAL INTERFACE IMPORTED)
target_link_libraries(PkgConfig::JANSSON INTERFACE jansson)
target_link_libraries(PkgConfig::XXHASH INTERFACE xxhash)
target_link_libraries(PkgConfig::LMDB INTERFACE lmdb)
target_link_libraries(PkgConfig::DEFLATE INTERFACE deflate)
target_link_libraries(PkgConfig::PNG INTERFACE png)

set(host ${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu)
add_compile_options("SHELL:-idirafter /usr/include/${host}" "SHELL:-idirafter /usr/include/gdal")
set(root ${PROJECT_SOURCE_DIR}/build/arm64-root)
foreach(folder ${root}/usr/lib/aarch64-linux-gnu ${root}/lib/aarch64-linux-gnu)
  add_link_options(-L${folder} -Wl,--disable-new-dtags,-rpath,${folder}) # libpng's zlib too
endforeach()
add_compile_definitions(TILTH_EMULATED) # tests that repeat themselves do it less often

# Tests of curl, OpenSSL, PROJ, GDAL, libtiff, WebP, libjpeg and h2o, where a new one is added, and
# raster/slab: qemu does not know MADV_POPULATE_WRITE.
set(TILTH_LEFT_OUT
  classify/class_store classify/levels classify/prediction geo/area geo/crs http/route http/server
  image/encode raster/block_read raster/codec raster/cog raster/gdal_source raster/raster
  raster/resample raster/slab raster/taint raster/tiff raster/warp raster/warp_gdal raster/warp_worldcover
  store/fetch store/file_object store/href store/remote_object store/s3 store/sigv4
  tiler/layer_bands tiler/layer_open tiler/render tiler/tiler
  fuzz/tiff fuzz/block fuzz/path)
