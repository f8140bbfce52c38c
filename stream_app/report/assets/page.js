// The page, from top to bottom.

writeContents();
writeHeadline();
writeSegments();
writeProfiles();
drawSizes();
drawFlows();
drawCauses();
drawModels();
writeRecords();
startTimeline();
document.documentElement.dataset.complete = "yes"; // for tests: no script has failed
