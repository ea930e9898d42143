# Micro benchmarks: bench/micro/bench_*.c and bench/forest/bench_*.c, one program each.
file(GLOB benches CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/bench/micro/bench_*.c
                                    ${PROJECT_SOURCE_DIR}/bench/forest/bench_*.c)
foreach(source ${benches})
  get_filename_component(name ${source} NAME_WE)
  add_executable(${name} ${source})
  target_link_libraries(${name} PRIVATE tilth_tiler tilth_flags GDAL::GDAL PkgConfig::PNG
                                        PkgConfig::LMDB PkgConfig::DEFLATE m)
endforeach()
