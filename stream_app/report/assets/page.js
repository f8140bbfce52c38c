// The page, from top to bottom.

removeOtherKinds();
writeSegmentations();
writeHeadline();
writeSegments();
if (content.kind === "learned") writeMeanings();
writeProfiles();
if (content.kind === "rules") writeConditions();
writeContents();
drawSizes();
drawFlows();
drawCauses();
if (content.kind === "learned") drawModels();
writeRecords();
startTimeline();
document.documentElement.dataset.complete = "yes"; // for tests: no script has failed
