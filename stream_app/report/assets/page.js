// The page, from top to bottom.

removeOtherKinds();
writeSegmentations();
writeHeadline();
writeOverview();
writeSegments();
if (content.kind === "learned") writeMeanings();
writeProfiles();
if (content.kind !== "learned") writeConditions();
writeContents();
drawSizes();
if (content.kind !== "audience") drawFlows();
drawCauses();
if (content.kind === "learned") drawModels();
writeRecords();
startTimeline();
document.documentElement.dataset.complete = "yes"; // for tests: no script has failed
