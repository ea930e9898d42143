# Tests that are not the unit tests of one folder (those: tests/unit/<folder>/test_*.c).

# Fuzz targets: tests/fuzz/fuzz_<name>.c. One line each, module first; the readers of models share one.
tilth_fuzz(raster tiff)
tilth_fuzz(raster block)
tilth_fuzz(forest lightgbm SOURCE model DEFINE TILTH_FUZZ_FORMAT="LightGBM text")
tilth_fuzz(forest xgboost SOURCE model DEFINE TILTH_FUZZ_FORMAT="XGBoost")
tilth_fuzz(forest catboost SOURCE model DEFINE TILTH_FUZZ_FORMAT="CatBoost JSON")
tilth_fuzz(forest onnx SOURCE model DEFINE TILTH_FUZZ_FORMAT="ONNX")
tilth_fuzz(forest model_file SOURCE model DEFINE TILTH_FUZZ_FORMAT="tilth model file")
tilth_fuzz(feature feature)
tilth_fuzz(base config)
tilth_fuzz(store range_reply)
tilth_fuzz(image indexed_png)
tilth_fuzz(tiler style)
tilth_fuzz(http path)

if(NOT TILTH_TESTS OR CMAKE_CROSSCOMPILING)
  return()
endif()

add_test(NAME lint.layers COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/check_layers.py
                                  ${PROJECT_SOURCE_DIR}/src)
add_test(NAME lint.size COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/check_size.py
                                ${PROJECT_SOURCE_DIR}/src)
set_tests_properties(lint.layers lint.size PROPERTIES LABELS lint)

# Rows through the engine, for the tests that ask the libraries the same.
if(TARGET tilth_forest)
  add_executable(predict_rows ${PROJECT_SOURCE_DIR}/tests/support/predict_rows.c)
  target_link_libraries(predict_rows PRIVATE tilth_forest tilth_flags m)
endif()

# The Python package, the tools and the viewer: unittest. Those that compare with the libraries models come from
# run under the Python that has them (tools/install_libraries.sh), where TILTH_LIBRARIES names one.
file(GLOB python_tests CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/python/test_*.py)
foreach(source ${python_tests})
  get_filename_component(name ${source} NAME_WE)
  string(REPLACE "test_" "" short ${name})
  set(python ${Python3_EXECUTABLE})
  if(short MATCHES "^(engine|export|libraries|model)$")
    set(python "\${TILTH_LIBRARIES:-${Python3_EXECUTABLE}}")
  endif()
  add_test(NAME python.${short} COMMAND sh -c "exec ${python} -m unittest -v ${name}"
           WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests/python)
  set_tests_properties(python.${short} PROPERTIES LABELS python TIMEOUT 600)
  if(TARGET predict_rows)
    set_tests_properties(python.${short} PROPERTIES ENVIRONMENT "TILTH_PREDICT_ROWS=$<TARGET_FILE:predict_rows>")
  endif()
endforeach()

# End to end: every tests/e2e/test_*.py is one ctest, run by unittest with TILTH set.
if(TARGET tilth)
  add_test(NAME lint.config COMMAND ${PROJECT_SOURCE_DIR}/tools/check_config.sh $<TARGET_FILE:tilth>)
  set_tests_properties(lint.config PROPERTIES LABELS lint)
  file(GLOB e2e CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/e2e/test_*.py)
  foreach(source ${e2e})
    get_filename_component(name ${source} NAME_WE)
    string(REPLACE "test_" "" short ${name})
    add_test(NAME e2e.${short} COMMAND Python3::Interpreter -m unittest -v ${name}
             WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests/e2e)
    set_tests_properties(e2e.${short} PROPERTIES LABELS e2e TIMEOUT 900
                         ENVIRONMENT "TILTH=$<TARGET_FILE:tilth>" SKIP_RETURN_CODE 77)
  endforeach()
endif()

# The longest first, so that none of them is left alone on one core at the end.
foreach(name e2e.bad_input unit.raster.warp_gdal e2e.cache python.demo e2e.http_wire e2e.prediction e2e.worldcover
        unit.raster.cog)
  if(TEST ${name})
    set_tests_properties(${name} PROPERTIES COST 100)
  endif()
endforeach()
